"""Show which settings a run's scores, failures and spread over seeds depend on; runs nothing.

Two measures: fANOVA, the share of the variance over the whole space that a setting explains alone,
and PED-ANOVA, how much the best tenth of the configs differ from all in that setting. Then what
two settings do together beyond what they do alone. A conditional setting is looked at among the
configs that have it. It needs 8 configs that ran to their end.

  trm importance runs/mine
  trm importance runs/mine --json
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.analysis.importance import Importances, Target

_BAR, _PAIRS = 20, 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm importance`."""
    parser.add_argument("run", metavar="RUN", help="a run folder of `trm sweep`, or its URI")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the importances; returns the exit code."""
    from dataclasses import asdict

    from search.analysis.importance import importance
    from search.config.plan import read_plan
    from search.explore.enough import require_enough
    from search.ledger.storage import place

    found = importance(args.run)
    if not any(target.fanova for target in found.targets):
        scored = next(target.configs for target in found.targets if target.name == "score")
        require_enough(scored, args.run, "importances", read_plan(place(args.run)).wanted)
    print(json.dumps(asdict(found)) if args.json else _text(found))
    return 0


def _text(found: Importances) -> str:
    stopped = f"; {found.pruned} were stopped early and have no score" if found.pruned else ""
    lines = [f"{found.completed} trials ran to their end{stopped}"]
    for target in found.targets:
        lines += ["", *_target_lines(target, found)]
    if found.conditional:
        lines += ["", "+ conditional: fANOVA's share is of the variance where it exists"]
        lines += [f"  {name}  {words}" for name, words in found.conditional.items()]
    return "\n".join(lines)


def _target_lines(target: Target, found: Importances) -> list[str]:
    words = {
        "score": f"score ({found.objective})",
        "failure": "failure (share of trials)",
        "spread": "spread (standard deviation over seeds)",
    }[target.name]
    if not target.fanova:
        return [f"{words}: {note}" for note in target.notes]
    names = {name: name + ("+" if name in found.conditional else "") for name in target.ped_anova}
    width = max(map(len, [*names.values(), words]))
    lines = [
        f"{f'{words}, {target.configs} configs':<{width + 4}}",
        f"{'':<{width}}  {'fANOVA':<{_BAR + 7}}  PED-ANOVA",
    ]
    order = {**target.fanova, **dict.fromkeys(target.ped_anova, 0.0)}
    for name in order:
        share = target.fanova.get(name)
        own = f"{'':<{_BAR}}      -" if share is None else _bar(share)
        lines.append(f"{names[name]:<{width}}  {own}  {_bar(target.ped_anova.get(name, 0.0))}")
    shown = [pair for pair in target.interactions[:_PAIRS] if pair.share >= 0.005]
    if target.explained is not None:
        head = f"together, of a forest that foresees {max(target.explained, 0.0):.0%} of it:"
        lines.append(head if shown else f"{head} nothing above 0.5 %")
    lines += [f"  {pair.share:>6.1%}  {pair.first} x {pair.second}" for pair in shown]
    return lines + [f"note: {note}" for note in target.notes]


def _bar(share: float) -> str:
    cells = round(min(max(share, 0.0), 1.0) * _BAR)
    return f"{'█' * cells:<{_BAR}} {share:>6.1%}"
