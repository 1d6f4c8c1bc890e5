"""Every fault of a cluster, five times, on the machines of a laboratory, and what each costs.

The sweeps are real, their trainings are toys that sleep. `-s` shows each fault as it comes; the
last test prints the table.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.injections import Injection, Sweep, sweeping, table
from tests.support.killable import assert_finished
from tests.support.laboratory import Laboratory, laboratory, until
from tests.support.namespaces import Machine, missing
from tests.support.small_disk import THROTTLE, block_disk, fill, slowed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(bool(missing()), reason=missing() or "machines can be made"),
]
TIMES = 5
TRIALS = 160
"""More than are done while the faults last; then the others run without a pause."""
NODES = (2, 3, 4)
SHORT = 4.0
"""Seconds of a fault that passes before anybody takes the node for dead."""
FULL, SLOW = 10.0, 20.0
"""Seconds for which storage is so."""
INJECTIONS: list[Injection] = []


@pytest.fixture(scope="module")
def lab() -> Iterator[Laboratory]:
    """A head without cores and three nodes of one core each; the run folders lie on one disk."""
    with laboratory() as found, block_disk(found.folder, "96M"):
        found.watch()
        start(found)
        yield found


def start(lab: Laboratory) -> None:
    for number in (1, *NODES):
        lab.start(number)
    lab.until_alive("lab1", *(f"lab{number}" for number in NODES))


def replace(lab: Laboratory, machine: Machine) -> None:
    """A new machine in the place of one."""
    if machine.up:
        machine.kill()
    lab.until_dead(machine.name)
    lab.start(int(machine.name.removeprefix("lab")))
    lab.until_alive(machine.name)


def run(lab: Laboratory, name: str, *faults: Callable[[Sweep], None]) -> None:
    """A sweep that meets the faults, each of them so many times, and ends well."""
    begun, spent = time.monotonic(), lab.cpu_seconds()
    with sweeping(lab, name, TRIALS, INJECTIONS) as sweep:
        for fault in faults:
            for _ in range(TIMES):
                fault(sweep)
        sweep.finish()
    took = time.monotonic() - begun, lab.cpu_seconds() - spent
    print(f"sweep {name}: {took[0]:.0f} s, of CPU {took[1]:.0f} s", flush=True)
    assert_finished(sweep.folder, sweep.plan)


def worker_killed(sweep: Sweep) -> None:
    machine, one = sweep.victim()
    pid = machine.numbered(int(one["worker"].rpartition(":")[2]))
    assert pid is not None
    with sweep.injecting("worker killed") as clock:
        os.kill(pid, signal.SIGKILL)
        sweep.until(lambda: sweep.again({one["t"]: one}, clock.begun), "the trial goes on")


def node_killed(sweep: Sweep) -> None:
    machine, _ = sweep.victim()
    hit = sweep.on(machine)
    with sweep.injecting("node killed") as clock:
        machine.kill()
        sweep.until(lambda: sweep.again(hit, clock.begun), "trials go on elsewhere")
    replace(sweep.lab, machine)


def spot_notice(sweep: Sweep) -> None:
    machine, _ = sweep.victim()
    hit = sweep.on(machine)
    (raylet,) = machine.called("raylet")
    with sweep.injecting("spot notice (SIGTERM to a raylet)") as clock:
        os.kill(raylet, signal.SIGTERM)
        sweep.until(lambda: sweep.again(hit, clock.begun), "trials go on elsewhere")
    replace(sweep.lab, machine)


def test_workers_and_nodes_that_die(lab: Laboratory) -> None:
    run(lab, "deaths", worker_killed, node_killed, spot_notice)


Act = Callable[[Machine], None]


def silent(sweep: Sweep, fault: str, begin: Act, end: Act) -> None:
    """A node says nothing for some seconds, and its trial has to go on where it was."""
    machine, one = sweep.victim()
    with sweep.injecting(f"{fault} for {SHORT:g} s") as clock:
        begin(machine)
        time.sleep(SHORT)
        end(machine)
        clock.passed()
        sweep.until(lambda: sweep.heard_of(one["t"], clock.over), "the trial reports")


def given_up(sweep: Sweep, fault: str, begin: Act, end: Act) -> None:
    """A node says nothing until it is given up; when it is back, it has to end."""
    machine, _ = sweep.victim()
    hit = sweep.on(machine)
    with sweep.injecting(f"{fault} until it is given up") as clock:
        clock.unheard = begin is Machine.cut
        begin(machine)
        sweep.until(lambda: sweep.again(hit, clock.begun), "trials go on elsewhere")
    sweep.lab.until_dead(machine.name)
    end(machine)
    until(lambda: not machine.called("raylet"), 90, "a node that was given up ends")
    replace(sweep.lab, machine)


def frozen(sweep: Sweep) -> None:
    silent(sweep, "node frozen", Machine.freeze, Machine.thaw)


def frozen_long(sweep: Sweep) -> None:
    given_up(sweep, "node frozen", Machine.freeze, Machine.thaw)


def cut(sweep: Sweep) -> None:
    silent(sweep, "network cut", Machine.cut, Machine.heal)


def cut_long(sweep: Sweep) -> None:
    given_up(sweep, "network cut", Machine.cut, Machine.heal)


def test_nodes_that_are_silent(lab: Laboratory) -> None:
    run(lab, "silence", frozen, cut, frozen_long, cut_long)


def driver_killed(sweep: Sweep) -> None:
    sweep.busy(len(NODES))
    with sweep.injecting("driver killed") as clock:
        clock.repeated = sweep.kill_driver()
        sweep.drive()
        sweep.until(lambda: sweep.reports(clock.begun + 0.5), "reports go on")


def head_killed(sweep: Sweep) -> None:
    sweep.busy(len(NODES))
    lab, live = sweep.lab, sweep.told.live()
    with sweep.injecting("head killed, and the driver on it") as clock:
        lab.machines["lab1"].kill()
        clock.repeated = sweep.unacknowledged(live)
        for machine in lab.machines.values():
            if machine.up:
                machine.kill()
        start(lab)
        sweep.drive()
        sweep.until(lambda: sweep.reports(clock.begun + 0.5), "reports go on")


def test_drivers_and_heads_that_die(lab: Laboratory) -> None:
    run(lab, "heads", driver_killed, head_killed)


def storage_full(sweep: Sweep) -> None:
    sweep.busy(2)
    with sweep.injecting(f"storage full for {FULL:g} s") as clock:
        filler = fill(sweep.lab.folder / "disk")
        time.sleep(FULL)
        filler.unlink()
        clock.passed()
        sweep.until(lambda: sweep.reports(clock.over), "reports go on")


def storage_slow(sweep: Sweep) -> None:
    sweep.busy(2)
    with sweep.injecting(f"storage slow for {SLOW:g} s") as clock:
        with slowed(sweep.lab.folder / "disk", 3_000):
            time.sleep(SLOW)
        clock.passed()
        sweep.until(lambda: sweep.reports(clock.over), "reports go on")


def test_storage_that_is_full(lab: Laboratory) -> None:
    run(lab, "full", storage_full)


@pytest.mark.skipif(not THROTTLE.exists(), reason="needs the blkio cgroup, to slow a disk")
def test_storage_that_is_slow(lab: Laboratory) -> None:
    run(lab, "slow", storage_slow)


def node_joins(sweep: Sweep) -> None:
    sweep.busy(len(NODES))
    lab = sweep.lab
    with sweep.injecting("node joins") as clock:
        machine = lab.start(5)
        lab.until_alive(machine.name)
        clock.passed()
        sweep.until(lambda: sweep.on(machine), "the new node is used")
    machine.kill()
    lab.until_dead(machine.name)


def test_nodes_that_join(lab: Laboratory) -> None:
    run(lab, "joins", node_joins)


def node_of_waiting_trials_killed(sweep: Sweep) -> None:
    """Over when the trials that ran there go on.

    Halving goes on with what waited once a rung is full: by the end of the sweep, when all curves
    are compared with undisturbed ones.
    """
    sweep.until(lambda: len(sweep.told.waiting()) >= 6, "trials wait")
    homes = Counter(one["worker"].partition(":")[0] for one in sweep.told.waiting().values())
    machine = sweep.lab.machines[homes.most_common(1)[0][0]]
    hit = sweep.on(machine)
    with sweep.injecting("node of paused trials killed") as clock:
        machine.kill()
        sweep.until(lambda: sweep.again(hit, clock.begun), "trials go on elsewhere")
    replace(sweep.lab, machine)


def test_trials_that_wait_while_their_node_dies(lab: Laboratory) -> None:
    run(lab, "waits", node_of_waiting_trials_killed)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    if not INJECTIONS:
        pytest.skip("no fault was injected")
    with capsys.disabled():
        print("\n" + table(INJECTIONS))
    assert not sum(one.lost + one.ended for one in INJECTIONS)
