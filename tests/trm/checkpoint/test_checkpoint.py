from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import trm
from tests.support.heads import edit_old_head
from trm.checkpoint import writing
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import load_checkpoint, load_model, resume
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.errors import UserError
from trm.files.run_folder import checkpoint_in, latest_checkpoint
from trm.files.sums import damage_of
from trm.tasks.base import Task
from trm.training.trainer import Trainer

TinyTree = Callable[..., dict[str, Any]]


class Explosive:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("EXPLODED",))


@pytest.fixture(scope="module")
def trained(tiny: TinyTree, cache: Path) -> Trainer:
    config = experiment_from(tiny({"train.ema": 0.9, "train.budget.steps": 4}))
    trainer = Trainer(config, config.task.build(cache))
    next(trainer.run())
    return trainer


@pytest.fixture
def saved(trained: Trainer, tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "checkpoints" / "000000002-0001"
    save_checkpoint(folder, trained, {"torch": "x"})
    return folder


def refused(action: Callable[[], Any]) -> str:
    """The one line with which bad input is refused."""
    with pytest.raises(UserError) as error:
        action()
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def test_a_checkpoint_is_safetensors_and_json(saved: Path, trained: Trainer) -> None:
    names = sorted(path.name for path in saved.iterdir())
    assert names == [
        "checkpoint.json", "ema.safetensors", "training.safetensors", "weights.safetensors",
    ]  # fmt: skip
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    head = read_head(saved)
    assert head.config == trained.config
    assert head.resolved == trained.resolved
    assert (head.budget, head.marks) == (trained.budget, trained.marks)
    assert head.provenance == {"data_hash": trained.task.data_hash, "torch": "x"}
    weights = load_file(saved / "weights.safetensors")
    assert weights.keys() == trained.model.state_dict().keys()


def test_save_and_load_is_the_identity(saved: Path, trained: Trainer) -> None:
    before, after = trained.state_dict(), resume(saved, trained.task).state_dict()
    for part in ("weights", "ema", "training"):
        old, new = getattr(before, part), getattr(after, part)
        assert old.keys() == new.keys()
        assert all(torch.equal(old[name], new[name]) for name in old)
        assert all(old[name].dtype == new[name].dtype for name in old)
    assert after.values == before.values


def test_a_saved_state_does_not_move_with_the_run(trained: Trainer, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", trained)
    other = resume(tmp_path / "a", trained.task)
    other.train_step()
    assert resume(tmp_path / "a", trained.task).counters.step == trained.counters.step
    assert not torch.equal(other.model.lm_head.weight, trained.model.lm_head.weight)


# --- atomic ------------------------------------------------------------------------------------


class Crash(BaseException):
    """The machine stops here."""


CALLS = ["mkdir", "weights", "ema", "training", "json", "fsync 1", "fsync 5", "replace"]


@pytest.mark.parametrize("at", CALLS)
def test_a_crash_while_saving_leaves_no_checkpoint(
    at: str, trained: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, folder = tmp_path / "checkpoints" / "1", tmp_path / "checkpoints" / "2"
    save_checkpoint(old, trained)
    count = {"fsync": 0}

    def save(tensors: Any, path: Path) -> None:
        if path.name.startswith(at):
            path.write_bytes(b"half")
            raise Crash
        save_file(tensors, path)

    def fsync(descriptor: int) -> None:
        count["fsync"] += 1
        if at == f"fsync {count['fsync']}":
            raise Crash

    def crash(*_: Any, **__: Any) -> None:
        raise Crash

    monkeypatch.setattr(writing, "save_file", save)
    monkeypatch.setattr(os, "fsync", fsync)
    if at == "replace":
        monkeypatch.setattr(os, "replace", crash)
    if at == "json":
        monkeypatch.setattr(Path, "write_text", crash)
    if at == "mkdir":
        monkeypatch.setattr(Path, "mkdir", crash)
    with pytest.raises(Crash):
        save_checkpoint(folder, trained)
    monkeypatch.undo()
    assert not folder.exists()
    assert latest_checkpoint(tmp_path) == old
    assert checkpoint_in(tmp_path) == old
    save_checkpoint(folder, trained)
    assert latest_checkpoint(tmp_path) == folder
    resume(folder, trained.task)


def test_everything_is_on_disk_before_the_folder_has_its_name(
    trained: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    replace = os.replace

    def fsync(descriptor: int) -> None:
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    def renamed(source: Path, target: Path) -> None:
        events.append("renamed")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    save_checkpoint(tmp_path / "a", trained)
    cut = events.index("renamed")
    assert {name for name in events[:cut] if not name.endswith(".partial")} == {
        "checkpoint.json", "ema.safetensors", "training.safetensors", "weights.safetensors",
    }  # fmt: skip
    assert events[cut - 1].endswith(".partial")
    assert events[cut + 1 :] == [tmp_path.name]


# --- bad content -------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["weights", "ema", "training"])
@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_is_refused_and_never_run(
    file: str, writer: str, saved: Path, trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent)
    path = saved / f"{file}.safetensors"
    if writer == "torch":
        torch.save({"w": Explosive()}, path)
    else:
        path.write_bytes(pickle.dumps(Explosive()))
    text = refused(lambda: resume(saved, trained.task))
    assert f"{file}.safetensors: damaged, or no safetensors file" in text
    if file != "training":
        refused(lambda: load_model(saved, trained.task))
    assert not (saved.parent / "EXPLODED").exists()


def test_no_module_of_ours_can_unpickle() -> None:
    home = Path(trm.__file__).parent
    for path in home.rglob("*.py"):
        text = path.read_text()
        assert "import pickle" not in text
        # Of torch's own reader, which unpickles, only the part that takes tensors alone.
        reads = re.findall(r"torch\.load\([^)]*\)", text)
        assert all("weights_only=True" in read for read in reads)
        assert text.count("torch.load") == len(reads)
        assert "allow_pickle=True" not in text


@pytest.mark.parametrize("file", ["weights", "ema", "training"])
@pytest.mark.parametrize("left", [0, 5, 0.5, 0.99])
def test_truncated_tensors_are_refused(
    file: str, left: float, saved: Path, trained: Trainer
) -> None:
    path = saved / f"{file}.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(left if left >= 1 else left * len(content))])
    assert path.name in refused(lambda: resume(saved, trained.task))


@pytest.mark.parametrize("file", ["weights", "ema", "training"])
def test_a_missing_file_is_named(file: str, saved: Path, trained: Trainer) -> None:
    (saved / f"{file}.safetensors").unlink()
    text = refused(lambda: resume(saved, trained.task))
    assert f"{file}.safetensors: is missing" in text


@pytest.mark.parametrize("file", ["weights", "ema", "training", "checkpoint"])
def test_a_flipped_bit_is_found(file: str, saved: Path, trained: Trainer) -> None:
    path = next(saved.glob(f"{file}.*"))
    whole = path.read_bytes()
    assert damage_of(saved) is None
    for place in range(40, len(whole), len(whole) // 15):
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        assert path.name in (damage_of(saved) or ""), place
        assert "damaged" in refused(lambda: resume(saved, trained.task))
    path.write_bytes(whole)
    resume(saved, trained.task)


def test_a_folder_without_checkpoint_is_named(tmp_path: Path, trained: Trainer) -> None:
    assert "no checkpoint here" in refused(lambda: read_head(tmp_path))
    assert "holds no checkpoint" in refused(lambda: checkpoint_in(tmp_path / "nowhere"))


Edit = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda head: head.update(schema_version=2), "schema_version: 2 is not 1"),
        (lambda head: head.pop("schema_version"), "schema_version"),
        (lambda head: head.pop("config"), "damaged: KeyError: 'config'"),
        (lambda head: head.pop("values"), "damaged: KeyError: 'values'"),
        (lambda head: head["resolved"].pop("threads"), "damaged"),
        (lambda head: head["config"]["model"].update(H_cycle=3), "model.H_cycle: unknown key"),
        (lambda head: head["values"].pop("stream"), "do not fit together"),
        (lambda head: head["values"]["counters"].update(extra=1), "do not fit together"),
        (lambda head: head["provenance"].update(data_hash="0"), "trained on other data"),
        (lambda head: head["provenance"].clear(), "trained on other data"),
    ],
)
def test_a_bad_head_is_refused(edit: Edit, words: str, saved: Path, trained: Trainer) -> None:
    edit_old_head(saved, edit)
    assert words in refused(lambda: resume(saved, trained.task))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"schema_version": 1'])
def test_a_broken_head_is_refused(text: str, saved: Path, trained: Trainer) -> None:
    (saved / "checkpoint.json").write_text(text)
    assert "checkpoint.json" in refused(lambda: resume(saved, trained.task))


@pytest.mark.parametrize("file", ["weights", "ema", "training"])
def test_tensors_of_another_model_are_refused(
    file: str, saved: Path, trained: Trainer, tiny: TinyTree, tmp_path: Path
) -> None:
    config = experiment_from(tiny({"train.ema": 0.9, "model.hidden_size": 32}))
    other = Trainer(config, trained.task)
    other.train_step()
    save_checkpoint(tmp_path / "other", other)
    shutil.copy(tmp_path / "other" / f"{file}.safetensors", saved)
    if file != "training":
        assert "checksum differs" in refused(lambda: load_model(saved, trained.task))
    assert "checksum differs" in refused(lambda: resume(saved, trained.task))
    edit_old_head(saved, dict)
    if file != "training":
        assert "do not fit together" in refused(lambda: load_model(saved, trained.task))
        assert "do not fit together" in refused(lambda: resume(saved, trained.task))


def test_another_config_is_refused_by_its_first_different_key(
    saved: Path, trained: Trainer, tiny: TinyTree
) -> None:
    changes = {"train.ema": 0.9, "train.budget.steps": 4}

    def load(task: Task, **more: Any) -> None:
        changed = {key.replace("__", "."): value for key, value in more.items()}
        load_checkpoint(saved, Trainer(experiment_from(tiny(changes | changed)), task))

    load(trained.task)
    load(trained.task, name="another name is no other config")
    text = refused(lambda: load(trained.task, optimizer__lr=2e-2))
    assert text.startswith("optimizer.lr: 0.02 differs from 0.01 in ")
    text = refused(lambda: load(trained.task, curriculum__depth="none", train__seed=1))
    assert text.startswith("train.seed: 1 differs from 0 in ")


def test_other_data_is_refused(saved: Path, tiny: TinyTree, cache: Path) -> None:
    task = experiment_from(tiny({"task.seed": 1})).task.build(cache)
    assert "trained on other data" in refused(lambda: resume(saved, task))


def test_load_model_takes_the_averaged_weights(saved: Path, trained: Trainer) -> None:
    model, head = load_model(saved, trained.task)
    assert not model.training
    assert head.config == trained.config
    assert trained.ema is not None
    live, averaged = trained.model.state_dict(), trained.ema.state_dict()
    assert len(averaged) >= len(live) - 3  # all but buffers and the puzzle embedding
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, averaged.get(name, live[name]))
    assert torch.equal(model.H_init, trained.model.H_init)


def test_the_newest_checkpoint_counts_and_hidden_ones_do_not(
    trained: Trainer, tmp_path: Path
) -> None:
    assert latest_checkpoint(tmp_path) is None
    for name in ("000000009-0001", "000000010-0001", "000000010-0002", ".000000011-0002.7.partial"):
        save_checkpoint(tmp_path / "checkpoints" / name, trained)
    newest = tmp_path / "checkpoints" / "000000010-0002"
    assert latest_checkpoint(tmp_path) == checkpoint_in(tmp_path) == newest
    assert checkpoint_in(newest) == newest
