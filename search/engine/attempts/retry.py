"""Trials that were burnt by what was not their fault, run again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from search.ledger.files import TEST_FILE, read_json, write_json
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial, is_own
from search.logs.console import warn
from trm.errors import UserError

RETRIED = ("crashed", "oom")
"""Outcomes that a machine may have caused; what a config computes, it would compute again."""


def parse_retry(words: Iterable[str], *, resume: bool = True) -> tuple[str | int, ...]:
    """What is to be run again: outcomes and trials' ids, each word one or several with commas.

    >>> parse_retry(["crashed,oom", "7"])
    ('crashed', 'oom', 7)

    Args:
        resume: whether a run is gone on with, without which nothing can be run again.

    Raises:
        UserError: neither, or no run is gone on with.
    """
    found: list[str | int] = []
    for word in (part.strip() for text in words for part in text.split(",")):
        if word.isascii() and word.isdigit() and len(word) < 10:
            found.append(int(word))
        elif word in RETRIED:
            found.append(word)
        else:
            raise UserError("--retry", word, f"must be {' or '.join(RETRIED)}, or a trial's number")
    if found and not resume:
        raise UserError("--retry", str(found[0]), "needs --resume: it is of a run that is there")
    return tuple(found)


def retry_trials(ledger: Ledger, wanted: Sequence[str | int]) -> list[Trial]:
    """Take back the outcomes of failed trials, which go on from their last checkpoints.

    An outcome that is taken back stays on record. A trial that is named and has not ended goes on
    anyway, and one that was run again before and has ended well is left as it is: the same command
    may be given again.

    Raises:
        UserError: a trial that is named does not exist, or has another outcome.
    """
    chosen = [
        trial
        for trial in ledger.trials.values()
        if trial.outcome in wanted or (trial.id in wanted and _named(ledger, trial))
    ]
    missing = [one for one in wanted if isinstance(one, int) and one not in ledger.trials]
    if missing:
        raise UserError("--retry", missing[0], f"is no trial of {ledger.folder}")
    taken = []
    for trial in chosen:
        gone = trial.checkpoint is not None and not (ledger.folder / trial.checkpoint).is_dir()
        if gone and not is_own(trial.id, trial.checkpoint):
            warn(f"trial {trial.id}: what it goes on from was not kept, so it is not run again")
            continue
        ledger.retry(trial.id, afresh=gone)
        taken.append(trial)
    _forget_tests(ledger, taken)
    ledger.flush()
    return taken


def _named(ledger: Ledger, trial: Trial) -> bool:
    if trial.outcome in RETRIED:
        return True
    before = any(one.cause == "retried" for one in ledger.attempts.get(trial.id, ()))
    if trial.ended and not before:
        raise UserError(
            "--retry", trial.id,
            f"is {trial.outcome}, which its config would be again: only {' and '.join(RETRIED)} "
            "trials are run again",
        )  # fmt: skip
    return False


def _forget_tests(ledger: Ledger, trials: Sequence[Trial]) -> None:
    """A failed trial's look at `test` was its floor: the one look is still to come."""
    path = ledger.folder / TEST_FILE
    if not trials or not path.exists():
        return
    known = read_json(path, own=True)
    for trial in trials:
        known.pop(str(trial.id), None)
    write_json(path, known, own=True)
