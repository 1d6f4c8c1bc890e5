"""A run's trials as a table whose rows lead to each one's log and YAML, and these two as text."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from search.analysis.run_logs import trial_story
from search.config.seeds import REFERENCE
from search.ledger.reader import read_trials
from search.ledger.storage import Place
from search.ledger.trial import Trial
from search.logs.parameters import parameters
from search.report.words import number
from trm.files.yaml12 import dump_yaml

SHOWN = 300
"""Rows of the table: those that run, and of the others the newest."""
LINES = 2000
"""Lines of a trial's output that are shown of each attempt, the last."""


def trials_markup(trials: Mapping[int, Trial]) -> str:
    """The section of the page."""
    newest = sorted(trials.values(), key=lambda trial: (not trial.ended, trial.id), reverse=True)
    rows = "".join(map(_row, newest[:SHOWN]))
    left = len(newest) - SHOWN
    more = (
        f'<p class="more">The newest {SHOWN} of {len(newest):,}; any other is at '
        "/trials/NUMBER/log and /trials/NUMBER/config.</p>"
        if left > 0
        else ""
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("trial", "log", "config", "stage", "seed", "state", "score", "parameters")
    )
    return (
        '<section id="live-trials" aria-labelledby="live-trials-title">'
        '<h2 id="live-trials-title">Trials</h2><p class="intro">Each one\'s log and config are one '
        "click away.</p>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{more}</section>"
    )


def state_of(trial: Trial) -> str:
    """In a word.

    >>> state_of(Trial(0, "explore", 0, 0, {}, {})), state_of(Trial(1, "explore", 1, 0, {}, {}, \
attempts=1))
    ('waiting', 'running')
    """
    begun = "paused" if trial.paused else "running" if trial.attempts else "waiting"
    return trial.outcome or begun


def _row(trial: Trial) -> str:
    links = "".join(
        f'<td><a href="/trials/{trial.id}/{path}" target="_blank" rel="noopener">{word}</a></td>'
        for path, word in (("log", "log"), ("config", "YAML"))
    )
    score = number(trial.score)
    cells = "".join(
        f"<td>{escape(text)}</td>"
        for text in (trial.stage, str(trial.seed), state_of(trial), score, parameters(trial))
    )
    return (
        f'<tr id="live-trial-{trial.id}"><th scope="row">trial {trial.id}</th>{links}{cells}</tr>'
    )


def log_text(folder: Place, trial: int) -> str:
    """All that is known of a trial: what happened, its reports, and what its processes wrote.

    Raises:
        UserError: no such trial is there.
    """
    return trial_story(folder, trial).text(LINES) + "\n"


def config_text(folder: Place, trial: int) -> str:
    """The config of a trial as YAML.

    Raises:
        KeyError: no such trial is there.
    """
    found = read_trials(folder)[trial]
    of_defaults = found.candidate == REFERENCE
    config = "your defaults" if of_defaults else f"candidate {found.candidate}"
    head = f"# trial {trial}: {found.stage}, {config}, seed {found.seed}\n"
    if found.infeasible:
        head += f"# infeasible: {found.reason}\n"
    else:
        named = trial if of_defaults else found.candidate
        head += (
            f"# `trm export {folder.name} --trial {named}` makes a file of it that `trm train` "
            "takes\n"
        )
    return head + dump_yaml(found.config)
