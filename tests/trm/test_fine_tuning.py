"""A run that begins with another's weights: what is kept, what is new, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import TREE, Tiny
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import read_state
from trm.config import load_experiment
from trm.errors import UserError
from trm.files.run_folder import latest_checkpoint
from trm.fine_tuning import Graft, graft
from trm.run.training import Stopped, Training, train

ATTENTION = {"model.mixer": "attention"}
NEW = {"task.seed": 5, "train.seed": 3, "train.ema": 0.9}
"""Another set of puzzles, and a run of its own."""


def of(folder: Path) -> dict[str, Tensor]:
    """The weights that a run's newest checkpoint is used with."""
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    state = read_state(checkpoint, read_head(checkpoint))
    return state.weights | state.ema


def grafted(path: Path, tree: dict[str, Any]) -> Graft:
    config = load_experiment(tree)
    return graft(path, config, config.task.build())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def stop_at(step: int) -> Any:
    steps = 0

    def told(_: float) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            signal.raise_signal(signal.SIGTERM)

    return told


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = deepcopy(TREE)
    tree["train"]["ema"] = 0.9
    return train(tree, tmp_path_factory.mktemp("fine") / "base").folder


@pytest.fixture
def base(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "base")


# --- what is taken over ------------------------------------------------------------------------


def test_averaged_weights_and_nothing_else(tiny: Tiny, base: Path, tmp_path: Path) -> None:
    seen: list[Any] = []
    said: list[str] = []

    def begun(trainer: Any, _: Any) -> None:
        state = trainer.state_dict()
        clones = [{k: t.clone() for k, t in part.items()} for part in (state.weights, state.ema)]
        seen.extend([*clones, trainer.counters.step, len(state.training), trainer.stream.drawn])

    training = train(tiny(NEW), tmp_path / "out", start=base, on_begin=begun, on_start=said.append)
    weights, ema, step, _, drawn = seen
    assert same(weights, of(base))
    assert all(torch.equal(ema[name], weights[name]) for name in ema)
    assert (step, drawn) == (0, 0)
    assert not any(key.startswith("optimizer/") and "exp" in key for key in [])
    checkpoint = base / "checkpoints" / "000000020-0002"
    assert said == [f"starts from the averaged weights of step 20 in {checkpoint}"]
    assert training.last["step"] == 20
    assert not same(of(training.folder), of(base))


def test_where_the_start_was_is_kept(tiny: Tiny, base: Path, tmp_path: Path) -> None:
    live = train(tiny(), tmp_path / "live").folder
    for source, averaged in ((base, True), (live / "checkpoints" / "000000010-0001", False)):
        out = tmp_path / f"out{averaged}"
        train(tiny(NEW), out, start=source)
        told = json.loads((out / "start.json").read_text())
        checkpoint = source if (source / "checkpoint.json").exists() else latest_checkpoint(source)
        assert told["path"] == str(checkpoint)
        assert (told["step"], told["averaged"]) == (20 if averaged else 10, averaged)
        assert len(told["sha256"]) == 64
        newest = latest_checkpoint(out)
        assert newest is not None
        assert read_head(newest).provenance["start"] == told


def test_a_longer_grid_where_the_architecture_allows(tiny: Tiny, tmp_path: Path) -> None:
    base = train(tiny(ATTENTION), tmp_path / "base").folder
    larger = {**ATTENTION, "task.size": 4, "task.visited": [2, 6]}
    found = grafted(base, tiny(larger))
    assert same(found.weights, of(base))
    assert train(tiny(larger), tmp_path / "out", start=base).last["step"] == 20


@pytest.mark.parametrize(
    ("changes", "cause"),
    [({}, "model.mixer mlp_t"), ({**ATTENTION, "model.pos_encodings": "learned"},
                                 "model.pos_encodings learned")],
)  # fmt: skip
def test_another_length_that_does_not_fit_is_one_line(
    tiny: Tiny, tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    base = train(tiny(changes), tmp_path / "base").folder
    larger = tiny({**changes, "task.size": 4, "task.visited": [2, 6]})
    with pytest.raises(UserError) as caught:
        train(larger, tmp_path / "out", start=base)
    message = str(caught.value)
    assert f"was trained on puzzles of length 9, these have length 16, and {cause} has" in message
    assert "train without --from" in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


def table(path: Path, letters: str, puzzles: str = "") -> dict[str, Any]:
    """A config for a file of words over some letters, each of which is its own answer."""
    words = [a + b + c for a in letters for b in letters for c in letters]
    rows = [f"{w},{w}" + (f",{puzzles[k % len(puzzles)]}" if puzzles else "")
            for k, w in enumerate(words)]  # fmt: skip
    head = "inputs,labels" + (",puzzle_identifier" if puzzles else "")
    path.write_text("\n".join([head, *rows]))
    return {
        "task": {"name": "data", "file": str(path)},
        "model": {
            "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "halt_max_steps": 2,
            "puzzle_emb_len": 1, "swiglu_multiple": 16,
        },
        "optimizer": {"lr": 1e-2, "puzzle_emb_lr": 1e-2, "lr_warmup_steps": 0},
        "train": {"batch_size": 8, "budget": {"steps": 4}, "reports": 1},
    }  # fmt: skip


@pytest.fixture
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_cache")
def test_tokens_that_both_know_keep_their_rows(tmp_path: Path) -> None:
    base = train(table(tmp_path / "a.csv", "abc"), tmp_path / "base").folder
    said: list[str] = []
    tree = table(tmp_path / "b.csv", "xcba")
    found, old = grafted(base, tree), of(base)
    fresh = grafted(base, {**tree, "train": {**tree["train"], "seed": 1}})
    for name in ("embed_tokens", "lm_head.weight"):
        now = found.weights[name]
        assert len(now) == 5  # <pad> a b c x
        assert torch.equal(now[:4], old[name])
        assert not torch.equal(now[4], fresh.weights[name][4])  # drawn with the run's seed
        assert now[4].abs().sum() > 0
    assert found.start.tokens == 4
    train(tree, tmp_path / "out", start=base, on_start=said.append)
    assert said[0].endswith("; 1 of 5 tokens are drawn anew")
    fewer = grafted(base, table(tmp_path / "c.csv", "ca"))
    assert torch.equal(fewer.weights["embed_tokens"], old["embed_tokens"][[0, 1, 3]])


@pytest.mark.usefixtures("_cache")
def test_new_identifiers_begin_at_the_mean_of_the_old(tmp_path: Path) -> None:
    base = train(table(tmp_path / "a.csv", "abc", "pqr"), tmp_path / "base").folder
    old = of(base)["puzzle_emb"]
    assert len(old) == 4
    assert old.abs().sum() > 0
    said: list[str] = []
    tree = table(tmp_path / "b.csv", "abc", "sqt")
    found = grafted(base, tree)
    config = load_experiment(tree)
    names = config.task.build().identifiers
    mean = old.mean(dim=0)
    expected = {"<blank>": old[0], "q": old[2]}
    for row, name in zip(found.weights["puzzle_emb"], names, strict=True):
        assert torch.equal(row, expected.get(name, mean)), name
    train(tree, tmp_path / "out", start=base, on_start=said.append)
    assert said[0].endswith("; 2 of 4 puzzle identifiers begin at the mean of the old ones")


@pytest.mark.usefixtures("_cache")
def test_of_tokens_without_names_another_task_keeps_none(tiny: Tiny, tmp_path: Path) -> None:
    base = train(tiny(ATTENTION), tmp_path / "base").folder
    tree = table(tmp_path / "a.csv", "abc")
    tree["model"] = tiny(ATTENTION)["model"]
    found = grafted(base, tree)
    assert (found.start.tokens, found.start.identifiers) == (0, 0)
    assert torch.equal(found.weights["puzzle_emb"], of(base)["puzzle_emb"].mean(0, keepdim=True))


# --- what goes on --------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "gone"), [(4, False), (13, True)])
def test_a_run_that_is_stopped_goes_on_to_the_same_end(
    tiny: Tiny, base: Path, tmp_path: Path, at: int, gone: bool
) -> None:
    tree = tiny({**NEW, "train.freeze": {"share": 0.5}})
    whole = train(tree, tmp_path / "whole", start=base)
    with pytest.raises(Stopped):
        train(tree, tmp_path / "out", start=base, on_step=stop_at(at))
    if gone:
        shutil.rmtree(base)
    resumed = train(tree, tmp_path / "out", resume=True, start=None if gone else base)
    assert_same(resumed, whole)


def assert_same(one: Training, other: Training) -> None:
    assert same(of(one.folder), of(other.folder))
    first, second = one.trainer.state_dict(), other.trainer.state_dict()
    assert same(first.weights, second.weights)
    assert same(first.training, second.training)
    assert [row["train_loss"] for row in one.rows] == [row["train_loss"] for row in other.rows]


def test_one_that_is_killed_before_it_saves_begins_from_there_again(
    tiny: Tiny, base: Path, tmp_path: Path
) -> None:
    tree = tiny(NEW)
    whole = train(tree, tmp_path / "whole", start=base)

    def killed(*_: Any) -> None:
        raise SystemError("killed")

    with pytest.raises(SystemError):
        train(tree, tmp_path / "out", start=base, on_begin=killed)
    assert latest_checkpoint(tmp_path / "out") is None
    moved = shutil.copytree(tmp_path / "out", tmp_path / "moved")
    assert_same(train(tree, tmp_path / "out", resume=True), whole)
    train(tiny({"train.ema": 0.9, "train.budget.steps": 30}), base, resume=True)
    assert_same(train(tree, moved, resume=True, start=base), whole)  # from the one it began with


def test_another_start_is_refused(tiny: Tiny, base: Path, tmp_path: Path) -> None:
    other = train(tiny({"train.seed": 9}), tmp_path / "other").folder
    train(tiny(NEW), tmp_path / "out", start=base)
    with pytest.raises(UserError, match=r"--from: .* differs: the run in .* was begun from .*base"):
        train(tiny(NEW), tmp_path / "out", resume=True, start=other)
    with pytest.raises(UserError, match=r"--from: .* began with fresh weights"):
        train(tiny({"train.ema": 0.9}), base, resume=True, start=other)
    (tmp_path / "out" / "start.json").write_text("{")
    with pytest.raises(UserError, match=r"start.json: damaged"):
        train(tiny(NEW), tmp_path / "out", resume=True)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.hidden_size": 32}, "model.hidden_size: 32 differs from 16"),
        ({"model.L_layers": 2}, "model.L_layers: 2 differs from 1"),
        ({"model.mixer": "attention"}, "model.mixer: 'attention' differs from 'mlp_t'"),
        ({"model.puzzle_emb_len": 2}, "model.puzzle_emb_len: 2 differs from 1"),
        ({"model.puzzle_emb_ndim": 8}, "model.puzzle_emb_ndim: 8 differs from 16"),
    ],
)
def test_another_architecture_is_one_line(
    tiny: Tiny, base: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as caught:
        train(tiny(changes), tmp_path / "out", start=base)
    message = str(caught.value)
    assert message.startswith(f"{words} in {base}")
    assert message.endswith("take over that value, or train without --from")
    assert not (tmp_path / "out").exists()


def test_depth_and_halting_may_be_others(tiny: Tiny, base: Path, tmp_path: Path) -> None:
    changes = {"model.H_cycles": 1, "model.L_cycles": 3, "model.halt_max_steps": 2}
    assert train(tiny(changes), tmp_path / "out", start=base).last["step"] == 20


def test_no_checkpoint_and_damaged_ones_are_one_line(
    tiny: Tiny, base: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    newest = latest_checkpoint(base)
    assert newest is not None
    for name, words in (
        ("weights.safetensors", "damaged"),
        ("ema.safetensors", "damaged"),
        ("checkpoint.json", "damaged"),
    ):
        broken = shutil.copytree(newest, tmp_path / f"broken-{name}")
        cut = (broken / name).read_bytes()
        (broken / name).write_bytes(cut[: len(cut) // 2])
        with pytest.raises(UserError, match=words):
            train(tiny(), tmp_path / "out", start=broken)
    for nothing in (empty, tmp_path / "missing"):
        with pytest.raises(UserError, match="holds no checkpoint"):
            train(tiny(), tmp_path / "out", start=nothing)
    assert not (tmp_path / "out").exists()
