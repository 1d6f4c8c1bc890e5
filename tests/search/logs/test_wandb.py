"""W&B runs: offline files, `wandb sync` and live ones, against a server on this machine."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

import search.logs.wandb as module
from search.config.logs import WandbConfig
from search.config.sinks import LoggedRun, RunEnd
from search.logs.wandb import WandbSink, require_login
from search.logs.writer import LogWriter
from trm.errors import UserError

DONE = RunEnd("completed", 0.75, "", failed=False)
CRASHED = RunEnd("crashed", 0.0, "ValueError: boom", failed=True)
OFFLINE = WandbConfig(mode="offline", project="mine", tags=["try"])


def wandb_processes() -> list[str]:
    """Those of this process; a Ray of other tests may be among its children."""
    names = [child.name() for child in psutil.Process().children(recursive=True)]
    return [name for name in names if "wandb" in name]


@pytest.fixture(scope="module")
def fake() -> Any:
    from tests.support import wandb_server

    return wandb_server


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the tester's key nor the outer world is of any use here."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")


@pytest.fixture
def server(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with fake.wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", fake.KEY)
        yield server


def run(key: str = "4") -> LoggedRun:
    return LoggedRun(
        key, f"study-{key}", f"explore-0000{key}", "study", "explore",
        config={"model": {"H_cycles": 2}, "seed": 5}, params={"model.H_cycles": 2},
    )  # fmt: skip


def row(mark: int) -> dict[str, Any]:
    return {
        "mark": mark, "step": 10 * mark, "exact_accuracy": 0.25 * mark, "train_loss": math.nan,
        "diverged": False,
    }  # fmt: skip


def write(folder: Path, config: WandbConfig, marks: int, ending: RunEnd | None) -> None:
    sink = WandbSink(folder, config)
    sink.begin(run())
    for mark in range(1, marks + 1):
        sink.add("4", row(mark))
    sink.end("4", ending)
    sink.close()


def runs_in(folder: Path, key: str = "4") -> list[Path]:
    return sorted((folder / "wandb").glob(f"offline-run-*-study-{key}*"))


def sync(folder: Path) -> None:
    script = Path(sys.executable).with_name("wandb")
    done = subprocess.run(
        [str(script), "sync", str(folder / "wandb")],
        capture_output=True, text=True, timeout=300, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Finished syncing" in done.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"WANDB_SWEEP_ID": "abc123"},
        {"WANDB_SWEEP_ID": "abc123", "WANDB_RUN_ID": "other", "WANDB_NAME": "other"},
        {"WANDB_LAUNCH": "true", "WANDB_RUN_ID": "other"},
        {"WANDB_RUN_ID": "other", "WANDB_RESUME": "must", "WANDB_RUN_GROUP": "other"},
    ],
)
def test_what_an_agent_left_in_the_environment_changes_no_run(
    variables: dict[str, str], fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for marks in ((1,), (1, 2)):
        sink = WandbSink(tmp_path, OFFLINE)
        sink.begin(run("4"))
        for mark in marks:
            sink.add("4", row(mark))
        sink.end("4", DONE if len(marks) == 2 else None)
        sink.close()
    (folder,) = runs_in(tmp_path, "4")
    records = fake.read_run(folder)
    assert [line["_step"] for line in fake.history(records)] == [10, 20]
    (about,) = [record.run for record in records if record.HasField("run")]
    assert (about.run_id, about.run_group, about.sweep_id) == ("study-4", "study", "")
    assert about.display_name == "explore-00004"
    assert len(list((tmp_path / "wandb").glob("*run-*"))) == 1


def test_an_offline_run_holds_it_all(
    fake: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sink = WandbSink(tmp_path, OFFLINE)
    for key in "45":
        sink.begin(run(key))
    for mark in (1, 2, 3):
        for key in "45":
            sink.add(key, row(mark))
    sink.end("4", DONE)
    sink.end("5", CRASHED)
    sink.close()
    assert wandb_processes() == []
    assert not any(name.startswith("WANDB_SERVICE") for name in os.environ)
    assert capfd.readouterr() == ("", "")
    for key, code, outcome in (("4", 0, "completed"), ("5", 1, "crashed")):
        (folder,) = runs_in(tmp_path, key)
        records = fake.read_run(folder)
        logged = fake.history(records)
        assert [line["_step"] for line in logged] == [10, 20, 30]
        assert [line["exact_accuracy"] for line in logged] == [0.25, 0.5, 0.75]
        assert logged[0]["diverged"] is False
        assert math.isnan(float(logged[0]["train_loss"]))
        (about,) = [record.run for record in records if record.HasField("run")]
        assert (about.run_id, about.display_name) == (f"study-{key}", f"explore-0000{key}")
        assert (about.run_group, about.job_type, about.project) == ("study", "explore", "mine")
        assert list(about.tags) == ["explore", "try"]
        config = {entry.key: json.loads(entry.value_json) for entry in about.config.update}
        config.pop("_wandb")
        assert config == {
            "model": {"H_cycles": 2}, "seed": 5, "params": {"model.H_cycles": 2}
        }  # fmt: skip
        (end,) = [record.exit for record in records if record.HasField("exit")]
        assert end.exit_code == code
        summary = {
            entry.key: entry.value_json
            for record in records if record.HasField("summary")
            for entry in record.summary.update
        }  # fmt: skip
        assert summary["outcome"] == f'"{outcome}"'


def test_wandb_sync_uploads_an_offline_run(server: Any, tmp_path: Path) -> None:
    write(tmp_path, OFFLINE, 2, None)
    # The trial went on and nobody had uploaded it: one folder holds all of it.
    write(tmp_path, OFFLINE, 3, DONE)
    assert len(runs_in(tmp_path)) == 1
    sync(tmp_path)
    stored = server.runs["study-4"]
    assert (stored.steps, stored.exit_code) == ([10, 20, 30], 0)
    assert [line["exact_accuracy"] for line in stored.history] == [0.25, 0.5, 0.75]
    assert stored.config == {"model": {"H_cycles": 2}, "seed": 5, "params": {"model.H_cycles": 2}}
    assert (stored.about["groupName"], stored.about["displayName"]) == ("study", "explore-00004")
    assert stored.summary["outcome"] == "completed"


@pytest.mark.parametrize("first", ["offline", "online"])
def test_what_was_uploaded_of_a_run_is_not_uploaded_again(
    first: Literal["offline", "online"], server: Any, tmp_path: Path
) -> None:
    write(tmp_path, WandbConfig(mode=first, project="mine"), 2, None)
    if first == "offline":
        sync(tmp_path)
    stored = server.runs["study-4"]
    assert (stored.steps, stored.exit_code, stored.preempting) == ([10, 20], 1, True)
    write(tmp_path, OFFLINE, 4, DONE)
    sync(tmp_path)
    assert (stored.steps, stored.exit_code) == ([10, 20, 30, 40], 0)
    assert list(server.runs) == ["study-4"]


def test_online_a_resumed_run_goes_on_after_what_the_server_has(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    online = WandbConfig(mode="online", project="mine")
    write(tmp_path, online, 2, None)
    stored = server.runs["study-4"]
    assert (stored.steps, stored.exit_code, stored.preempting) == ([10, 20], 1, True)
    write(tmp_path, online, 4, DONE)
    assert stored.steps == [10, 20, 30, 40]
    assert (stored.exit_code, stored.summary["outcome"]) == (0, "completed")
    assert stored.summary["score"] == 0.75
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dies", ["before", "between"])
def test_a_server_that_is_not_there_costs_one_warning(
    dies: str, fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "_INIT_SECONDS", 2.0 if dies == "before" else 60.0)
    monkeypatch.setattr(module, "_FINISH_SECONDS", 1.0)
    monkeypatch.setenv("WANDB_API_KEY", fake.KEY)
    writer = LogWriter(WandbSink(tmp_path, WandbConfig(mode="online")))
    if dies == "between":
        with fake.wandb_server() as server:
            monkeypatch.setenv("WANDB_BASE_URL", server.url)
            writer.begin(run(), [row(1)])
            wait_for(lambda: "study-4" in server.runs)
    else:
        writer.begin(run(), [row(1)])
    writer.add("4", row(2))
    writer.end("4", DONE)
    writer.close()
    warned = capfd.readouterr().err.splitlines()
    assert len(warned) == 1, warned
    assert warned[0].startswith("trm: warning: W&B is off after an error (")
    assert fake.KEY not in warned[0]
    assert wandb_processes() == []


def wait_for(true: Callable[[], bool]) -> None:
    import time

    for _ in range(5000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")


def test_no_key_is_refused_before_anything_starts() -> None:
    with pytest.raises(UserError) as raised:
        require_login()
    assert str(raised.value) == (
        "log.wandb: 'online' needs an API key: set WANDB_API_KEY, run `wandb login`, or take "
        "log.wandb=offline"
    )


def test_keys_are_taken_from_where_wandb_takes_them_and_never_shown(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no-netrc").write_text(
        f"machine 127.0.0.1:9\n  login user\n  password {fake.KEY}\n"
    )
    require_login()
    (tmp_path / "no-netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", fake.KEY)
    require_login()
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    with pytest.raises(UserError, match="needs a valid API key") as raised:
        require_login()
    assert "hunter2" not in str(raised.value)
    assert "log.wandb=offline" in str(raised.value)


def test_a_run_of_the_callers_own_is_left_alone(tmp_path: Path) -> None:
    import wandb

    own = wandb.init(
        mode="offline", dir=tmp_path / "own", settings=wandb.Settings(silent=True, console="off")
    )
    write(tmp_path, OFFLINE, 1, DONE)
    assert wandb.run is own
    own.log({"loss": 1.0})
    own.finish()
    wandb.teardown()
    assert len(runs_in(tmp_path)) == 1
