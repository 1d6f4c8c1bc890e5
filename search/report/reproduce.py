"""How to repeat what the page shows: commands, versions, data, seeds and decisions."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from cluster.launch.settings import Machines
from search.config.seeds import REFERENCE
from search.export.export import BEST_FILE
from search.ledger.book import holds_ablations
from search.ledger.files import SWEEP_FILE
from search.ledger.storage import Place, Remote
from search.report.facts import Facts
from search.report.scrub import beside
from search.report.section import Code, Picture, Section, Table
from search.report.words import count, listed
from trm.files.yaml12 import dump_yaml


def reproduce(facts: Facts) -> Section:
    """Always there: it holds the sweep's own file."""
    where = shlex.quote(str(facts.folder) if isinstance(facts.folder, Remote) else facts.named)
    commands = [f"trm status {where}"]
    if facts.result is not None:
        commands += [
            *_train(facts.folder),
            f"trm export {where} --format reference    # for the reference code",
        ]
    elif facts.best is not None:
        commands.append(f"trm export {where} --trial {facts.best.id}")
    ablated = holds_ablations(facts.trials)
    command, whole = ("ablate", "all of it") if ablated else ("sweep", "the whole sweep")
    commands.append(
        f"trm {command} {SWEEP_FILE} --out runs/again    # the file below: {whole} again"
    )
    found = _provenance(facts)
    return Section(
        "reproduce",
        "How to reproduce",
        "A trial re-runs to the same numbers on the same hardware from its exported file; a "
        "parallel sweep draws other trials each time, since results come in another order. This "
        "run's order is on record: `trm simulate --replay` draws its trials again from it.",
        [Picture("Where the numbers come from", _says(found), [], Table(("what", "value"), found))],
        [
            Code("Commands", "\n".join(commands)),
            Code(SWEEP_FILE, beside(dump_yaml(_without_address(facts.plan.tree))).rstrip()),
        ],
    )


def _train(folder: Place) -> list[str]:
    """Of the winner; a file in an object store has to be fetched first."""
    note = "    # the winner, from the first promise seed"
    if isinstance(folder, Remote):
        fetch = f"trm export {shlex.quote(str(folder))} --out {BEST_FILE}"
        return [fetch, f"trm train {BEST_FILE}{note}"]
    return [f"trm train {shlex.quote(f'{folder.name}/{BEST_FILE}')}{note}"]


def _without_address(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without the cluster that ran it: the page is for others, who have another."""
    theirs = {"address", *Machines.model_fields}
    cluster = {key: v for key, v in tree.get("cluster", {}).items() if key not in theirs}
    kept = {key: value for key, value in tree.items() if key != "cluster"}
    return {**kept, "cluster": cluster} if cluster else kept


def _says(found: list[tuple[str, str]]) -> str:
    several = [name for name, value in found if " | " in value]
    if several:
        return f"Trials differ in {count(len(several), 'respect')}: {', '.join(several)}."
    return "Every trial ran with the same versions, data and decisions."


def _provenance(facts: Facts) -> list[tuple[str, str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for trial in facts.trials.values():
        for key, value in _flat(trial.provenance):
            if key not in ("node",):
                found[key].add(value)
    rows = [("study", facts.plan.run_id), ("begun", str(facts.head.get("created", "")))]
    if facts.head.get("sampler"):
        rows.append(("sampler", str(facts.head["sampler"])))
    rows += [(key, " | ".join(sorted(values))) for key, values in sorted(found.items())]
    if not found:
        rows += [(key, str(value)) for key, value in facts.head.get("provenance", {}).items()]
    for stage in (
        "explore",
        "population",
        "confirm",
        "promise",
        "reference",
        "sensitivity",
        "ablation",
        "study",
    ):
        seeds = sorted({trial.seed for trial in facts.of_stage(stage)})
        if seeds:
            rows.append((f"seeds of {stage}", " ".join(map(str, seeds[:50]))))
    references = facts.of_stage("reference", REFERENCE)
    if references:
        rows.append(
            ("trials of your defaults", "trials " + listed([str(t.id) for t in references]))
        )
    return rows


def _flat(node: dict[str, Any], path: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in node.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            found += _flat(value, name)
        else:
            found.append((name, value if isinstance(value, str) else json.dumps(value)))
    return found
