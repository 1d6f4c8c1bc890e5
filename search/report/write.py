"""`trm report`: a run folder as one HTML page, and its figures as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from search.analysis.training_status import holds_training
from search.ledger.book import holds_ablations
from search.ledger.files import REPORT_FILE, write_atomically
from search.ledger.storage import Place, place
from search.report.ablations import ablations
from search.report.attempts import attempts
from search.report.costs import costs
from search.report.curriculum import curriculum
from search.report.curves import curves
from search.report.depth import depth
from search.report.facts import Facts, read_facts
from search.report.failures import failures
from search.report.fidelity import rungs
from search.report.halting import halting
from search.report.headline import headline
from search.report.images import Format, write_images
from search.report.importance import matters
from search.report.luck import luck
from search.report.outlook import foreseen
from search.report.page import IN_A_FILE, Around, page
from search.report.parallel import parallel
from search.report.pareto import trade
from search.report.population import population
from search.report.progress import progress
from search.report.race import race
from search.report.reproduce import reproduce
from search.report.section import Section
from search.report.sensitivity import sensitivity
from search.report.slices import slices
from search.report.space import boundaries
from search.report.thought import thought
from search.report.training import training_page
from search.report.trials import trial_table
from trm.errors import UserError

Maker = Callable[[Facts], Section | None]

SECTIONS: Sequence[Maker] = (
    ablations,
    curves,
    race,
    luck,
    progress,
    trade,
    population,
    matters,
    slices,
    parallel,
    sensitivity,
    foreseen,
    boundaries,
    rungs,
    halting,
    depth,
    thought,
    curriculum,
    failures,
    attempts,
    costs,
    reproduce,
)
"""What makes the page, in order; one without data is left out."""
_OF_A_SEARCH = (curves, halting, depth, thought)
"""Show winner, finalists and search, of which ablations have none."""


def write_report(
    folder: Place | str,
    out: Path | str | None = None,
    *,
    images: Path | None = None,
    format: Format = "svg",
) -> Place:
    """Write the report of a run, finished or not, and say where it is.

    The page is one file of at most 2 MB, most of it the plotting library; its data stay below
    0.5 MB however many trials there are, for crowded figures show a part of them and say so.

    >>> from tempfile import mkdtemp
    >>> write_report(run, f"{mkdtemp()}/page.html").stat().st_size > 10_000
    True

    Args:
        folder: a run folder, local or a URI, or the folder of one training.
        out: the file; None is `report.html` in the run folder.
        images: a folder for the figures as files of their own; None writes none.
        format: of those.

    Raises:
        UserError: the folder holds no run, a file cannot be written, or what images need is
            missing.
    """
    where = place(folder).absolute()
    target = where / REPORT_FILE if out is None else place(str(out))
    if holds_training(where):
        if images is not None:
            raise UserError("--images", str(images), "is of a sweep's run: leave it out")
        _write(target, training_page(where))
        return target
    facts = read_facts(where)
    made = sections(facts)
    _write(target, assembled(facts, made))
    if images is not None:
        write_images(images, made, format)
    return target


def assembled(facts: Facts, made: Sequence[Section], around: Around = IN_A_FILE) -> str:
    """The HTML of a run's page, of sections that are there."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    about = f"{facts.plan.run_id}, run folder {facts.named}; written {when} by TRM Search"
    return page(headline(facts), made, about, around, trial_table(facts, made))


def _write(target: Place, text: str) -> None:
    try:
        write_atomically(target, text)
    except OSError as error:
        why = error.strerror or "an object store does not take it"
        raise UserError("--out", str(target), f"cannot be written: {why}") from error


def sections(facts: Facts) -> list[Section]:
    """The parts of the page that have data."""
    found = (make(facts) for make in makers(facts))
    return [section for section in found if section is not None]


def makers(facts: Facts) -> list[Maker]:
    """What makes the sections of a run, in their order."""
    left_out = _OF_A_SEARCH if holds_ablations(facts.trials) else ()
    return [make for make in SECTIONS if make not in left_out]
