"""A real `trm sweep` on three machines: one dies, one joins, and one loses its network for a while.

`-s` shows the time line, as the test's end does.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search.ledger.reader import holds_ledger, read_book, read_curves, read_trials
from search.sweep.run import Run
from tests.support.laboratory import Laboratory, laboratory, until
from tests.support.namespaces import missing
from trm.config import experiment_from
from trm.device import Resolved
from trm.report import MACHINE_COLUMNS
from trm.training.trainer import Trainer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing()), reason=missing() or "machines can be made"),
]
CONFIG = """
name: machines
task: {name: arrows, size: 4, train_examples: 2000, valid_examples: 100, test_examples: 100}
model: {mixer: mlp_t, hidden_size: 32, L_layers: 2, expansion: 1.0, swiglu_multiple: 32,
        puzzle_emb_len: 1, halt_max_steps: 4, halt_exploration_prob: 0.5,
        H_cycles: {int: [1, 2]}, L_cycles: {int: [1, 2]}}
optimizer: {name: adamw, lr_warmup_steps: 10, lr: {loguniform: [3e-3, 3e-2]}}
train: {batch_size: 32, budget: {steps: 1000}, reports: 10, ema: 0.95, threads: 1}
search: {trials: 10, scheduler: asha, objective: cell_accuracy}
stability: {candidates: 2, seeds: 2, promise_seeds: 2}
"""
CUT_SECONDS = 5.0
TRM = str(Path(sys.executable).with_name("trm"))
Key = tuple[int, int]


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    with laboratory() as found:
        found.watch()
        for number in (1, 2, 3, 4):
            found.start(number)
        found.until_alive("lab1", "lab2", "lab3", "lab4")
        yield found


def acknowledged(run: Path) -> dict[Key, dict[str, Any]]:
    """Every report in the ledger, by trial and mark."""
    if not holds_ledger(run):
        return {}
    rows = read_curves(run).to_pylist()
    assert len({(row["trial"], row["mark"]) for row in rows}) == len(rows), "a report stands twice"
    return {(row["trial"], row["mark"]): row for row in rows}


def nodes_of(run: Path) -> dict[int, str]:
    """By trial: Ray's id of the node of its last attempt that reported."""
    return {n: t.provenance["node"] for n, t in read_trials(run).items() if t.provenance}


def test_a_sweep_survives_a_death_a_birth_and_a_cut(
    lab: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, line = time.time(), list[tuple[float, str]]()

    def note(event: str) -> None:
        line.append((time.time() - begun, event))

    config, run = lab.folder / "machines.yaml", lab.folder / "run"
    config.write_text(CONFIG)
    log = lab.folder / "sweep.log"
    words = [TRM, "sweep", str(config), "--out", str(run)]
    driver = lab.run("lab1", *words, "--address", lab.address, log=log)
    note("`trm sweep` starts: a head without cores, three nodes of one core each")
    seen: dict[Key, dict[str, Any]] = {}

    def wait(true: Callable[[], object], what: str, seconds: float = 150.0) -> None:
        def holds() -> bool:
            assert driver.poll() is None, f"ended before: {what}: {log.read_text()[-3000:]}"
            now = acknowledged(run)
            assert seen.items() <= now.items(), "an acknowledged report was lost or changed"
            seen.update(now)
            return bool(true())

        until(holds, seconds, f"{what}; {log.read_text()[-3000:]}", every=0.25)

    ids = lab.alive()
    wait(lambda: seen, "the first report")
    note("first report")
    wait(lambda: set(nodes_of(run).values()) >= {ids[f"lab{n}"] for n in (2, 3, 4)}, "all work")
    note("all three nodes have reported")

    lab.machines["lab3"].kill()
    note("node lab3 killed")
    lab.until_dead("lab3")
    note("Ray takes lab3 for dead")
    wait(lambda: read_book(run).attempts, "the attempt is on record")
    (lost,) = [one for many in read_book(run).attempts.values() for one in many]
    assert lost.host == "lab3", lost
    wait(lambda: any(k[0] == lost.trial and r["attempt"] > 1 for k, r in seen.items()), "goes on")
    note(f"trial {lost.trial}, which was there, has reported from another node")

    lab.start(5)
    lab.until_alive("lab5")
    note("node lab5 has joined")
    new = lab.alive()["lab5"]
    wait(lambda: new in nodes_of(run).values(), "lab5 is used")
    note("first report from lab5")

    mark = len(seen)
    lab.machines["lab2"].cut()
    note("network of lab2 cut")
    time.sleep(CUT_SECONDS)
    lab.machines["lab2"].heal()
    note("network of lab2 healed")

    def lab2_reports() -> bool:
        nodes = nodes_of(run)
        return any(nodes[number] == ids["lab2"] for number, _ in list(seen)[mark:])

    wait(lab2_reports, "lab2 reports")
    note("next report from lab2")
    code = None
    while code is None:
        code = driver.poll()
        now = acknowledged(run)
        assert seen.items() <= now.items(), "an acknowledged report was lost or changed"
        seen.update(now)
        time.sleep(0.5)
    note(f"the sweep ends, exit code {code}")
    text = log.read_text()
    assert code == 0, text
    shown = "\n".join(["", "| s | event |", "|---|---|", *(f"| {s:.1f} | {e} |" for s, e in line)])

    trials, book = read_trials(run), read_book(run)
    assert len([t for t in trials.values() if t.stage == "explore"]) == 10
    assert {t.outcome for t in trials.values()} <= {"completed", "pruned"}
    assert (run / "best.yaml").is_file()
    assert [one.host for many in book.attempts.values() for one in many] == ["lab3"]
    repeated = sum(one.repeated for many in book.attempts.values() for one in many)
    counts = Counter(t.outcome for t in trials.values())
    shown += (
        f"\n\n{len(trials)} trials ({', '.join(f'{n} {o}' for o, n in counts.items())}), "
        f"{len(seen)} reports, none of them lost or changed after it was first seen; "
        f"{repeated:.1f} s of work repeated at most"
    )
    with capsys.disabled():
        print(shown)
    moved = {number for (number, _), row in seen.items() if row["attempt"] > 1}
    there = next(n for n, node in nodes_of(run).items() if node == ids["lab2"])
    for number in (*moved, there):
        assert_as_if_undisturbed(run, number, seen)


def assert_as_if_undisturbed(run: Path, number: int, rows: dict[Key, dict[str, Any]]) -> None:
    """A trial's curve is the one of a training that nothing befell."""
    plan, clock = Run(run).plan, ("trial", "attempt", *MACHINE_COLUMNS)
    trial = read_trials(run)[number]
    experiment = experiment_from(trial.config)
    # Its node may have had no compiled library, whose rounding is another one.
    resolved = Resolved(**trial.provenance["resolved"])
    trainer = Trainer(experiment, experiment.task.build(), plan.budget, plan.marks, resolved)
    mine = [row for key, row in sorted(rows.items()) if key[0] == number]
    assert mine
    for row, report in zip(mine, trainer.run(), strict=False):
        alone = report.row()
        assert {k: v for k, v in row.items() if k not in clock} == {
            k: v for k, v in alone.items() if k not in clock
        }, (number, row["mark"])
