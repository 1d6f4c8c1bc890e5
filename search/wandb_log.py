"""Curves as Weights & Biases runs: a group a sweep, a run a trial."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.log_config import WandbConfig
from search.recorder import Ending, LoggedRun, Row
from trm.errors import UserError

if TYPE_CHECKING:
    import wandb

_INIT_SECONDS = 30.0
_FINISH_SECONDS = 60.0
"""How long the server may take to begin a run, and to take in all that is left at its end."""


class WandbSink:
    """Writes runs with the `wandb` package, several at once in this process.

    Offline, a run's folder holds all its rows; an earlier folder of the same run is removed, since
    uploading both would show rows twice. Online, a run goes on after the last step that the
    server has.
    """

    name = "W&B"

    def __init__(self, folder: Path, config: WandbConfig) -> None:
        self.folder = folder / "wandb"  # where `wandb` puts its runs if told `folder`
        self._config = config
        self._runs: dict[str, wandb.Run] = {}
        self._first_step: dict[str, int] = {}
        self._is_ours = True

    def begin(self, run: LoggedRun) -> None:
        """Open a run."""
        import wandb

        if not self._runs:
            # With a run of the user's own in this process, its service is not ours to end.
            self._is_ours = self._is_ours and wandb.run is None
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob(f"offline-run-*-{run.id}*"):
            if (old / f"run-{run.id}.wandb").exists():
                shutil.rmtree(old)
        online = self._config.mode == "online"
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
            # An offline run replaces, when it is uploaded, what the server has of it.
            resume="allow" if online else None,
            reinit="create_new",
            settings=_settings(wandb.Settings),
        )
        self._runs[run.key] = opened
        self._first_step[run.key] = opened.step if online else 0

    def add(self, key: str, row: Row) -> None:
        """A row at its step, unless the server has it."""
        if row["step"] >= self._first_step[key]:
            self._runs[key].log(dict(row), step=row["step"])

    def end(self, key: str, ending: Ending | None) -> None:
        """Finish a run; one that will go on is marked as preempted."""
        run = self._runs.pop(key)
        if ending is None:
            run.mark_preempting()
        else:
            told = {"outcome": ending.outcome, "score": ending.score, "reason": ending.reason}
            run.summary.update(told)
        run.finish(exit_code=int(ending is None or ending.failed))

    def close(self) -> None:
        """Finish what is open and end the service process that `wandb` started."""
        import wandb

        try:
            for key in tuple(self._runs):
                self.end(key, None)
        finally:
            if self._is_ours:
                wandb.teardown()


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
