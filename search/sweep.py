"""A whole sweep: explore, confirm, promise, export. Resumes wherever it was stopped."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from cluster.connect import ClusterError, check_address, connected
from cluster.resources import cores, default_parallel, worker_environment
from search.candidates import explored
from search.config import load_tree, require_trials_count, sweep_sections
from search.confirm import (
    Promise,
    Replicates,
    Result,
    confirm_trials,
    confirmed_front,
    finalists,
    promise,
    promise_trials,
    rank,
    read_result,
)
from search.engine import run_trials
from search.events import Broadcast
from search.execution import Decision
from search.explore import STUDY_FILE, Explore
from search.export import export
from search.first import resolve_first
from search.ledger import Ledger, Trial, holds_ledger, read_curves, read_trials
from search.limits import Meter
from search.live import SweepDisplay
from search.live_log import TrialLog, live_logs, require_logs
from search.place import Place, create_run_folder, local_copy, place
from search.plan import (
    RUN_FILE,
    Plan,
    check_space,
    read_plan,
    refuse_changes,
    replan,
    require_sources,
    resolve_plan,
    write_atomically,
    write_plan,
)
from search.population import Population, spent
from search.resources import devices_of, share_of
from search.schedulers.pbt import PbtConfig
from search.wall_clock import WallClock
from search.warm_start import read_start, read_warm, require_runs, write_start
from trm.checkpoint import load_model
from trm.config import experiment_from
from trm.errors import UserError
from trm.evaluation import evaluate, subset
from trm.run_folder import cache_folder
from trm.tasks.base import Task

BEST_FILE = "best.yaml"
TEST_FILE = "test.json"
_LIMIT_SECONDS = 0.5
"""How often the limits are looked at."""


class NoWinnerError(RuntimeError):
    """A sweep that ended without one completed trial."""


class LimitReachedError(RuntimeError):
    """A sweep that met one of its limits before its result was there; nothing is lost."""


class Run:
    """A run folder, finished or not, for notebooks.

    >>> run = Run("runs/arrows4")                                            # doctest: +SKIP
    >>> run.best().promise.mean, run.curves().to_pandas()                    # doctest: +SKIP
    """

    def __init__(self, folder: Place | str) -> None:
        self.folder = place(folder)
        self.plan = read_plan(self.folder)

    def trials(self) -> list[Trial]:
        """Every trial, by id."""
        return list(read_trials(self.folder).values())

    def curves(self) -> Any:
        """Every acknowledged report as a `pyarrow.Table`."""
        return read_curves(self.folder)

    def best(self) -> Result | None:
        """What the confirm stage found; None while it has not ended."""
        return read_result(self.folder)


def sweep(
    source: str | Path,
    *,
    sets: Iterable[str] = (),
    out: Place | str | None = None,
    trials: int | None = None,
    resume: bool = False,
    address: str | None = None,
    parallel: int | None = None,
    warm_start: Sequence[Path | str] = (),
    display: SweepDisplay | None = None,
) -> Run:
    """Search a config's space, confirm the best, and write `best.yaml`.

    Args:
        source: a YAML file or a preset's name.
        sets: `key=value` settings on top of it.
        out: the run folder, a path or a URI such as `s3://bucket/run`; `runs/NAME` if None.
        trials: explore trials, instead of the file's number; more than before extend a run.
        resume: go on with the run in `out`.
        address: a Ray cluster that is up, `auto` or `host:port`; None takes the file's.
        parallel: trials at once; None takes the file's, or what the cluster has room for.
        warm_start: run folders that tell a new run what they can, besides the file's.
        display: shows progress; None shows nothing.

    Raises:
        UserError: bad input; nothing has been started.
        NoWinnerError: no trial completed, or none keeps the constraints.
        LimitReachedError: a limit was met before the confirm stage ended.
        KeyboardInterrupt: stopped by the user; `resume=True` goes on.
    """
    display = display or SweepDisplay(quiet=True)
    tree = load_tree(source, sets)
    if trials is not None:
        require_trials_count(tree, trials)
        tree = _with_trials(tree, trials)
    tree = _with_warm_start(tree, warm_start)
    space = check_space(tree)
    search = sweep_sections(tree).search
    default = experiment_from(space.default()[1])
    require_logs(sweep_sections(tree).log)
    address = _reachable(address or sweep_sections(tree).cluster.address)
    folder = place(out) if out else Path("runs") / default.name
    begun = resume and (folder / RUN_FILE).exists()
    first = [] if begun else resolve_first(search.first, space)
    require_runs([] if begun else search.warm_start)
    create_run_folder(folder, RUN_FILE, resume=resume)
    folder = folder.absolute()
    with display.preparing() as progress:
        task = default.task.build(cache_folder(), progress)
    require_sources(space, task)
    with Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger:
        if (folder / RUN_FILE).exists():
            plan = read_plan(folder)
            refuse_changes(plan, tree)
            wanted = max(plan.sections.search.trials, sweep_sections(tree).search.trials)
            plan = replan(plan, _with_trials(tree, wanted))
        else:
            torch.set_num_threads(default.train.threads)
            plan = resolve_plan(tree, task, space)
            start = read_warm(search.warm_start, plan, first)
            for line in start.notes:
                display.note(f"warm start from {line}")
            write_start(folder, start)
        write_plan(folder, plan)
        with live_logs(plan.sections.log, ledger, ledger.folder, plan.study) as logs:
            _finish(plan, ledger, task, display, logs, address, parallel, explore=True)
    return Run(folder)


def stability(
    folder: Place | str,
    *,
    candidates: int | None = None,
    seeds: int | None = None,
    promise_seeds: int | None = None,
    address: str | None = None,
    parallel: int | None = None,
    display: SweepDisplay | None = None,
) -> Run:
    """Run the confirm stage of a run again, with more candidates or seeds.

    What ran before is not run again. The promise seeds still take no part in the choice.
    """
    folder = place(folder).absolute()
    display = display or SweepDisplay(quiet=True)
    plan = read_plan(folder)
    asked = {"candidates": candidates, "seeds": seeds, "promise_seeds": promise_seeds}
    wanted = {key: value for key, value in asked.items() if value is not None}
    section = {**plan.tree.get("stability", {}), **wanted}
    plan = replan(plan, {**plan.tree, "stability": section})
    address = _reachable(address or plan.sections.cluster.address)
    with display.preparing() as progress:
        task = plan.default.task.build(cache_folder(), progress)
    with Ledger.open(folder) as ledger:
        write_plan(folder, plan)
        with live_logs(plan.sections.log, ledger, ledger.folder, plan.study) as logs:
            _finish(plan, ledger, task, display, logs, address, parallel, explore=False)
    return Run(folder)


class _Stages:
    """The stages of one run as one source for the engine, so that they share worker processes.

    A stage is drawn up once the one before has ended: its trials depend on all results before it.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        task: Task,
        display: SweepDisplay,
        meter: Meter,
        *,
        explore: bool,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.task = task
        self.floor = plan.objective.worst(task.floor)
        self.result: Result | None = None
        self._display = display
        display.maximizes = plan.objective.maximizes
        self._meter = meter
        self._sources = self._stages(explore)
        self._current: Explore | Population | Replicates | None = None
        self._running = 0
        self._first: Trial | None = None

    def has_work(self) -> bool:
        """Whether any trial has to run: looking at a finished run needs no Ray."""
        self._first = self.next()
        return self._first is not None

    def next(self) -> Trial | None:
        """The next trial of the current stage; None while the stage waits for its last ones."""
        if self._first is not None:
            trial, self._first = self._first, None
            return trial
        while not self.exhausted():
            assert self._current is not None
            chosen = self._current.next()
            if chosen is not None:
                self._running += 1
                return chosen
            if self._running:
                return None
        return None

    def exhausted(self) -> bool:
        """Whether every stage has ended; enters the next stage once the current one has."""
        while self.result is None and not self._running and self._first is None:
            if self._current is not None and not self._current.exhausted():
                return False
            self._current = next(self._sources, None)
            if self._current is None:
                return True
        return self.result is not None

    def score(self, row: Mapping[str, Any]) -> float:
        """The objective of a report."""
        return self.plan.objective.value(row)

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Decision:
        """Only exploring trials are ever stopped or wait, and only stretches complete early."""
        assert self._current is not None
        decision = self._current.on_report(trial, row)
        if decision == "pause":
            self._running -= 1
        return decision

    def close(self) -> None:
        """Write what the current stage still holds back."""
        self._sources.close()

    def on_end(self, trial: Trial) -> None:
        """A trial of the current stage has its outcome."""
        assert self._current is not None
        self._running -= 1
        self._current.on_end(trial)

    def _stages(self, explore: bool) -> Generator[Explore | Population | Replicates]:
        objective = self.plan.objective
        if explore and isinstance(self.plan.sections.search.scheduler, PbtConfig):
            population = Population(self.plan, self.ledger, self.floor)
            self._display.stage("population", population.wanted, population.done)
            yield population
        elif explore:
            journal = self.ledger.scratch / STUDY_FILE
            start = read_start(self.ledger.folder, self.plan)
            exploring = Explore(self.plan, self.ledger, self.floor, journal, self._may_draw, start)
            self._display.stage("explore", exploring.wanted, exploring.done)
            try:
                yield exploring
            finally:
                exploring.close()
        if not finalists(self.plan, self.ledger):
            if not any(trial.outcome for trial in self.ledger.trials.values()):
                limit = self._meter.met() or "search.limits"
                raise LimitReachedError(
                    f"{limit} leaves no room for a single trial: raise it and resume"
                )
            raise NoWinnerError(_why_no_winner(self.plan, self.ledger))
        trials = confirm_trials(self.plan, self.ledger)
        self._display.stage("confirm", len(trials), _ended(trials))
        yield Replicates(trials, objective, self.floor)
        examples = len(subset(self.task.split("valid"), self.plan.default.train.valid_examples))
        candidates = rank(self.plan, self.ledger, examples)
        winner = self.ledger.trials[candidates[0].trial]
        promised, reference = promise_trials(self.plan, self.ledger, winner)
        trials = list({trial.id: trial for trial in (*promised, *reference)}.values())
        self._display.stage("promise", len(trials), _ended(trials))
        yield Replicates(trials, objective, self.floor)
        self.result = Result(
            winner=winner.id,
            objective=objective.column,
            confidence=self.plan.sections.stability.confidence,
            candidates=candidates,
            promise=self._promise(promised, examples),
            reference=self._promise(reference, examples),
            direction=objective.resolved_direction,
            front=confirmed_front(self.plan, candidates),
        )

    def _may_draw(self) -> bool:
        """Whether the limits leave room for one more trial and all that comes after the search."""
        section = self.plan.sections.stability
        runs = section.candidates * section.seeds + 2 * section.promise_seeds
        return self._meter.leaves_room(runs)

    def _promise(self, trials: Sequence[Trial], examples: int) -> Promise:
        return promise(self.plan, self.ledger, trials, self._test(trials), examples)

    def _test(self, trials: Sequence[Trial]) -> list[float]:
        """Exact accuracy on `test` of each trial, looked at once and then kept in `test.json`."""
        path = self.ledger.folder / TEST_FILE
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for trial in trials:
            if str(trial.id) not in known:
                known[str(trial.id)] = self._test_one(trial)
        write_atomically(path, json.dumps(known, indent=1) + "\n")
        return [float(known[str(trial.id)]) for trial in trials]

    def _test_one(self, trial: Trial) -> float:
        """Exact accuracy of a trial's last checkpoint; a failure stands at the floor."""
        if trial.outcome != "completed" or trial.checkpoint is None:
            return self.task.floor
        with local_copy(self.ledger.folder / trial.checkpoint) as checkpoint:
            model, head = load_model(checkpoint, self.task)
        return evaluate(
            model,
            self.task,
            self.task.split("test"),
            steps=head.config.model.halt_max_steps,
            batch_size=head.config.train.eval_batch_size,
            device=torch.device(head.resolved.device),
            loss=head.config.loss,
        ).exact_accuracy


def _finish(
    plan: Plan,
    ledger: Ledger,
    task: Task,
    display: SweepDisplay,
    logs: Sequence[TrialLog],
    address: str | None,
    parallel: int | None,
    *,
    explore: bool,
) -> None:
    """Run every stage that is not done yet, and write what came of them."""
    share, asked = share_of(plan), parallel or plan.sections.cluster.parallel
    clock = WallClock(ledger.folder)
    meter = Meter(
        limits=plan.sections.search.limits,
        budget=plan.budget,
        devices=devices_of(share),
        parallel=asked or 1,
        wall_seconds=lambda: clock.seconds,
        spent=lambda: spent(ledger.trials),
        trials=ledger.trials,
    )
    stages = _Stages(plan, ledger, task, display, meter, explore=explore)
    try:
        with display:
            if stages.has_work():
                with connected(
                    address,
                    cpus=max(cores(), (asked or 1) * share.cpus),
                    environment=worker_environment(share),
                ) as cluster:
                    meter.parallel = asked or default_parallel(cluster.resources, share)
                    run_trials(
                        stages,
                        ledger,
                        parallel=meter.parallel,
                        budget=plan.budget,
                        marks=plan.marks,
                        resources=share,
                        events=Broadcast([display, *logs]),
                        stop=_every(_LIMIT_SECONDS, lambda: _over(clock, meter)),
                    )
    finally:
        stages.close()
        clock.save()
    if stages.result is None:
        raise LimitReachedError(
            f"{meter.met()} is met before the confirm stage has ended; nothing is lost: raise it "
            "and resume"
        )
    ledger.flush()
    stages.result.save(ledger.folder)
    write_atomically(ledger.folder / BEST_FILE, export(ledger.folder, "trm", task))


def _over(clock: WallClock, meter: Meter) -> bool:
    clock.tick()
    return meter.met() is not None


def _every(seconds: float, ask: Callable[[], bool]) -> Callable[[], bool]:
    """The answer of `ask`, asked at most that often."""
    answer, asked = False, -math.inf

    def cached() -> bool:
        nonlocal answer, asked
        if time.monotonic() - asked >= seconds:
            answer, asked = ask(), time.monotonic()
        return answer

    return cached


def _ended(trials: Sequence[Trial]) -> int:
    return sum(trial.outcome is not None for trial in trials)


def _with_trials(tree: dict[str, Any], trials: int) -> dict[str, Any]:
    return {**tree, "search": {**tree.get("search", {}), "trials": trials}}


def _with_warm_start(tree: dict[str, Any], folders: Sequence[Path | str]) -> dict[str, Any]:
    """The tree with more run folders to start from."""
    if not folders:
        return tree
    search = tree.get("search", {})
    return {
        **tree,
        "search": {**search, "warm_start": [*search.get("warm_start", []), *map(str, folders)]},
    }


def _reachable(address: str | None) -> str | None:
    """The address, once somebody answers there: before a folder is made or a trial drawn."""
    if address is not None:
        try:
            check_address(address)
        except ClusterError as error:
            raise UserError(str(error)) from error
    return address


def _why_no_winner(plan: Plan, ledger: Ledger) -> str:
    broken = [name for c in explored(plan, ledger) for name, v in c.violations.items() if v > 0]
    if broken:
        name, count = Counter(broken).most_common(1)[0]
        return (
            f"no completed trial keeps every constraint: {count} break search.constraints "
            f"'{name}': loosen it, or search where it holds"
        )
    outcomes = Counter(trial.outcome for trial in ledger.trials.values())
    words = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
    reasons = [trial.reason for trial in ledger.trials.values() if trial.reason]
    return f"no trial completed ({words}); the last failure: {reasons[-1] if reasons else 'none'}"
