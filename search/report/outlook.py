"""More searching: what another hour of it would bring, and how such a forecast fared before."""

from __future__ import annotations

from search.analysis.at_work import elapsed_of
from search.explore.outlook import (
    CONFIDENCE,
    Outlook,
    another_hour,
    hindsight,
    hindsight_text,
    outlook_text,
)
from search.report.facts import Facts
from search.report.section import Picture, Section, Table

TITLE = "Another hour of searching"


def foreseen(facts: Facts) -> Section | None:
    """The forecast with its interval, and its hindsight; None where too few configs have ended.

    Without a record of the time that the run took there is no forecast of an hour.
    """
    plan, objective = facts.plan, facts.plan.objective
    ahead = another_hour(plan, facts.book, elapsed_of(facts.folder))
    past = hindsight(plan, facts.book)
    rows, says = [], []
    if ahead is not None:
        rows.append(("another hour", f"{ahead.runs:,}", *_ends(ahead), ""))
        says.append(outlook_text(ahead, objective))
    if past is not None:
        came = f"{past.came:+.3f}"
        rows.append((f"after {past.after:,} configs", f"{past.foreseen.runs:,}",
                     *_ends(past.foreseen), came))  # fmt: skip
        says.append(f"looking back, {hindsight_text(past, objective)}")
    if not rows:
        return None
    least = plan.sections.search.limits.gain
    if least is not None:
        says.append(
            f"no new config begins once all those that are left are expected to bring less than "
            f"{least:g} (search.limits.gain)"
        )
    sure = f"{CONFIDENCE:.0%}"
    return Section(
        "outlook",
        "More searching",
        "What further runs would add to the winner, by a model of every seed and curve of the "
        "search; a pick that luck had chosen may get worse.",
        [
            Picture(
                TITLE,
                " ".join(f"{text[0].upper()}{text[1:]}." for text in says),
                [],
                Table(
                    ("asked", "full runs", "foreseen", f"{sure} from", f"{sure} to", "came"), rows
                ),
            )
        ],
    )


def _ends(found: Outlook) -> tuple[str, str, str]:
    return f"{found.gain:+.3f}", f"{found.low:+.3f}", f"{found.high:+.3f}"
