"""What a replay found, for a person or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

from search.config.plan import Plan, read_plan
from search.config.sections import with_section
from search.ledger.reader import read_book
from search.ledger.storage import Place
from search.simulator.replay import OtherChoice, Replay, choices, replay
from trm.config import set_value
from trm.errors import UserError
from trm.files.yaml12 import parse_value
from trm.provenance import provenance

Show = Callable[[float], None]
_DECIDES = ("trm-search", "optuna", "numpy", "torch", "git")
"""Versions on which a draw may depend."""


def replayed_text(folder: Place, show: Show, as_json: bool = False) -> tuple[str, bool]:
    """The sweep's own draws again, a line each, and whether all are the same.

    Raises:
        UserError: the folder holds no sweep, or one whose order of asks is not on record.
    """
    found = replay(folder, show=show)
    whole = found.same == len(found.draws)
    if as_json:
        draws = [{**asdict(draw), "same": draw.same} for draw in found.draws]
        tree = {"draws": draws, "given": found.given, "unknown": found.unknown, "same": whole}
        return json.dumps(tree), whole
    lines = [
        f"trial {draw.trial:>5}  "
        + ("same" if draw.same else f"different: {_difference(draw.drawn, draw.again)}")
        for draw in found.draws
    ]
    lines.append(_sum(found))
    if not whole and (changed := _changed(folder)):
        lines.append(f"the draws may depend on what has changed since: {', '.join(changed)}")
    return "\n".join(lines), whole


def replayed_otherwise(
    folder: Place,
    samplers: Sequence[str | None],
    sets: Iterable[str],
    show: Show,
    as_json: bool = False,
) -> str:
    """What each sampler would have tried at each draw, and the score of the config nearest to it.

    Args:
        samplers: names; None is the run's own.
        sets: `key=value` settings of `search`, for all of them.

    Raises:
        UserError: as `replayed_text`, an unknown name, or another setting.
    """
    settings, plan, book = [*sets], read_plan(folder), read_book(folder)
    found = {}
    for sampler in samplers:
        other = _with(plan, sampler, settings)
        name = other.sections.search.sampler.name
        draws = replay(folder, lambda _, other=other: other, show)  # type: ignore[misc]
        found[name] = draws, choices(draws, plan, book)
    if as_json:
        return json.dumps(
            {name: [asdict(one) for one in made] for name, (_, made) in found.items()}
        )
    lines = []
    for name, (draws, made) in found.items():
        lines.append(f"{name}, at each draw of the run; the run's config nearest to its choice:")
        lines += [_choice(one) for one in made]
        own = [one.drawn for one in made if one.drawn is not None]
        theirs = [one.score for one in made]
        if own and theirs:
            lines.append(
                f"  mean score of those nearest to its {len(theirs)} choices "
                f"{sum(theirs) / len(theirs):.3f}, of the {len(own)} that were drawn and trained "
                f"in whole {sum(own) / len(own):.3f}; {draws.same} choices are the same"
            )
    return "\n".join(lines)


def _with(plan: Plan, sampler: str | None, sets: Sequence[str]) -> Plan:
    """The plan with another sampler, or other settings of it."""
    tree: dict[str, Any] = {"search": deepcopy(plan.tree.get("search", {}))}
    if sampler is not None and sampler != plan.sections.search.sampler.name:
        tree["search"]["sampler"] = sampler
    for setting in sets:
        path, equals, text = setting.partition("=")
        if not equals or path.partition(".")[0] != "search":
            raise UserError("--set", setting, "must be key=value under search: it draws configs")
        set_value(tree, path, parse_value(text, f"--set {path}"))
    sections = with_section(plan.sections, "search", tree["search"])
    search = sections.search
    search.sampler.check(plan.space, len(search.objective), search.trials)
    return replace(plan, sections=sections)


def _sum(found: Replay) -> str:
    words = f"{found.same} of {len(found.draws)} draws are the same"
    if found.given:
        words += f"; first points, which nobody drew: {found.given}"
    if found.unknown:
        words += f"; of {found.unknown} more the order is not on record: an older version drew them"
    return words


def _difference(drawn: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    """The parameters that differ, at most three."""
    names = [n for n in {**drawn, **again} if drawn.get(n) != again.get(n)]
    words = [f"{n} {_short(drawn.get(n))}, now {_short(again.get(n))}" for n in names[:3]]
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(words) + more


def _choice(one: OtherChoice) -> str:
    own = "-" if one.drawn is None else f"{one.drawn:.3f}"
    params = " ".join(f"{name}={_short(value)}" for name, value in one.again.items())
    return f"  trial {one.trial:>5}  {own:>6}  nearest {one.nearest:>5}  {one.score:.3f}  {params}"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


def _changed(folder: Place) -> list[str]:
    """Versions that a run's trials had and this process has not."""
    recorded = [t.provenance for t in read_book(folder).trials.values() if t.provenance]
    if not recorded:
        return []
    before, now = recorded[0], provenance()
    return [
        f"{name} {before[name]}, now {now[name]}"
        for name in _DECIDES
        if name in before and name in now and before[name] != now[name]
    ]
