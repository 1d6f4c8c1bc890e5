"""Curves as Weights & Biases runs: a group a sweep, a run a trial."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.config.logs import WandbConfig
from search.config.sinks import LoggedRun, RunEnd
from trm.errors import UserError
from trm.report import ReportRow

if TYPE_CHECKING:
    import wandb

_INIT_SECONDS = 30.0
_FINISH_SECONDS = 60.0
"""How long the server may take to begin a run, and to take in all that is left at its end."""
STEP_FILE = "last-step.txt"
"""In a run's folder: the last step that was logged there."""


class WandbSink:
    """Writes runs with the `wandb` package, several at once in this process.

    Online, a run goes on after the last step that the server has. Offline, its folder holds all
    its rows and an earlier one is removed, unless `wandb sync` has seen that one: then the new
    folder holds the rows after it, and `wandb sync` adds them to the same run.
    """

    name = "W&B"

    def __init__(self, folder: Path, config: WandbConfig) -> None:
        self.folder = folder / "wandb"  # where `wandb` puts its runs if told `folder`
        self._config = config
        self._runs: dict[str, wandb.Run] = {}
        self._first_step: dict[str, int] = {}
        self._is_ours: bool | None = None

    def begin(self, run: LoggedRun) -> None:
        """Open a run."""
        import wandb

        if self._is_ours is None:
            # Beside a run of the caller's own, W&B's settings and service are not ours to change.
            self._is_ours = wandb.run is None
            if self._is_ours:
                wandb.setup(wandb.Settings(silent=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        online = self._config.mode == "online"
        uploaded = self._forget_unsynced(run.id)
        with _no_agent():
            opened = wandb.init(
                entity=self._config.entity,
                project=self._config.project,
                dir=self.folder.parent,
                id=run.id,
                name=run.name[:128],
                group=run.group[:128],
                job_type=run.kind,
                tags=[run.kind, *self._config.tags],
                config={**run.config, "params": dict(run.params)},
                mode="online" if online else "offline",
                resume="allow",
                reinit="create_new",
                settings=_settings(wandb.Settings),
            )
        self._runs[run.key] = opened
        self._first_step[run.key] = opened.starting_step if online else uploaded + 1

    def add(self, key: str, row: ReportRow) -> None:
        """A row at its step, unless the server has it."""
        if row["step"] >= self._first_step[key]:
            run = self._runs[key]
            run.log(dict(row), step=row["step"])
            (Path(run.dir).parent / STEP_FILE).write_text(f"{row['step']}\n", encoding="utf-8")

    def end(self, key: str, ending: RunEnd | None) -> None:
        """Finish a run; one that will go on is marked as preempted."""
        run = self._runs.pop(key)
        if ending is None:
            run.mark_preempting()
        else:
            told = {"outcome": ending.outcome, "score": ending.score, "reason": ending.reason}
            run.summary.update(told)
        run.finish(exit_code=int(ending is None or ending.failed))

    def _forget_unsynced(self, run_id: str) -> int:
        """Remove what was never uploaded of a run; the last step of what was, or -1."""
        last = -1
        for old in self.folder.glob(f"*run-*-{run_id}*"):
            if old.is_symlink() or not (old / f"run-{run_id}.wandb").exists():
                continue
            if old.name.startswith("offline-") and not any(old.glob("*.wandb.sync*")):
                shutil.rmtree(old)
            elif (old / STEP_FILE).exists():
                last = max(last, int((old / STEP_FILE).read_text(encoding="utf-8") or -1))
        return last

    def close(self) -> None:
        """Finish what is open and end the service process that `wandb` started."""
        import wandb

        try:
            for key in tuple(self._runs):
                self.end(key, None)
        finally:
            if self._is_ours:
                wandb.teardown()


@contextmanager
def _no_agent() -> Iterator[None]:
    """A run begun within is ours, also where this process is an agent's of a W&B sweep or launch.

    Such an agent's variables (`WANDB_SWEEP_ID`) make W&B choose the id of every run itself: a
    resume would log all of them once more.
    """
    from wandb.sdk import wandb_setup

    settings = wandb_setup.singleton().settings
    before = settings.sweep_id, settings.launch
    settings.sweep_id, settings.launch = None, False
    try:
        yield
    finally:
        settings.sweep_id, settings.launch = before


def require_login() -> None:
    """Refuse to go online without credentials, before anything starts.

    Raises:
        UserError: none are there, or the key cannot be one.
    """
    from wandb.errors import AuthenticationError
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib import wbauth

    settings = wandb_setup.singleton().settings
    key = os.environ.get("WANDB_API_KEY") or settings.api_key
    try:
        key = key or wbauth.read_netrc_auth(host=settings.base_url)
        wrong = wbauth.check_api_key(key) if key else None
    except AuthenticationError as error:
        wrong = str(error)
    remedy = "set WANDB_API_KEY, run `wandb login`, or take log.wandb=offline"
    if wrong:
        raise UserError(f"log.wandb: 'online' needs a valid API key: {wrong} {remedy}")
    if not key and not settings.identity_token_file:
        raise UserError("log.wandb", "online", f"needs an API key: {remedy}")


def _settings(kind: Any) -> Any:
    """Quiet, nothing of the machine or the code is sent, and no button in a browser stops us."""
    return kind(
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        finish_timeout=_FINISH_SECONDS,
        finish_timeout_raises=True,
        init_timeout=_INIT_SECONDS,
        label_disable=True,
        save_code=False,
        stop_fn=lambda: None,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
