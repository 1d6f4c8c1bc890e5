"""Attempts that did not end their trial: when, where and why, and what was done twice."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import count as numbers

from search.ledger.attempts import repeated
from search.report.facts import Facts
from search.report.scrub import anonymous
from search.report.section import Picture, Section, Table
from search.report.words import count, listed

WORDS = {
    "worker": "its worker process died",
    "node": "its node was lost",
    "memory": "it was ended for memory",
    "machine": "a fault of the machine",
    "retried": "run again",
    "stack": "an error of several trained as one",
}
"""By cause, what it says."""


def attempts(facts: Facts) -> Section | None:
    """A row an attempt; None if every one ended its trial."""
    every = (one for number in sorted(facts.book.attempts) for one in facts.book.attempts[number])
    found = [one for one in every if one.cause != "stopped"]  # nothing of those was lost
    if not found:
        return None
    fresh = numbers(1)
    nodes = {
        key: f"node {next(fresh)}" for key in dict.fromkeys(o.node or o.host for o in found) if key
    }
    trials = count(len({one.trial for one in found}), "trial")
    causes = Counter(WORDS[one.cause] for one in found)
    words = listed([f"{n:,} x {cause}" for cause, n in causes.most_common()])
    again = repeated(facts.book.attempts)
    rows = [
        (
            f"trial {one.trial}",
            str(one.attempt),
            one.outcome,
            WORDS[one.cause],
            anonymous(one.reason) or "no reason was recorded",
            nodes.get(one.node or one.host, ""),
            _to_the_second(one.at) if one.at else "",
            str(one.mark),
            f"{one.repeated:.0f} s",
        )
        for one in found
    ]
    columns = (
        "trial", "attempt", "outcome", "cause", "reason", "where", "ended", "report", "repeated",
    )  # fmt: skip
    return Section(
        "attempts",
        "Attempts that were lost",
        "An attempt is one execution of a trial. What ends it without being the config's fault "
        "ends no trial: the trial goes on from its last report, and what came after that is "
        "repeated.",
        [
            Picture(
                "What the trials survived",
                f"{count(len(found), 'attempt')} of {trials} "
                f"ended without ending the trial ({words}); at most {again:,.0f} s of work were "
                "done twice.",
                [],
                Table(columns, rows),
            )
        ],
    )


def _to_the_second(time: str) -> str:
    return datetime.fromisoformat(time).isoformat(timespec="seconds")
