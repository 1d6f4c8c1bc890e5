"""What a worker's death says of its machine does not reach a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.config.plan import simulated_plan, write_plan
from search.ledger.ledger import Ledger
from search.report.scrub import anonymous
from search.report.write import write_report

NODE = "4f1b" * 14
ACTOR = "9c0ffee1" * 4
DEATHS = (
    f"The actor is dead because its node has died. Node Id: {NODE}, IP: 10.12.0.7",
    f"The actor died unexpectedly before finishing this task. class_name: W actor_id: {ACTOR} "
    "pid: 4711 namespace: 0d4bc2d4-9b1c-4a73-9a38-0a5e4e0b1c77 ip: fd12:3456:789a::17",
    f"worker(s) were killed, see `ray logs worker-{NODE}*out -ip 192.168.4.20`",
    "ConnectionError: ip-10-12-0-7.eu-west-1.compute.internal:8076 and [2001:db8::1]:443 refused",
)
TRACES = (NODE, ACTOR, "0d4bc2d4", "10.12.0.7", "10-12-0-7", "192.168", "fd12", "2001:db8")


@pytest.mark.parametrize("death", DEATHS)
def test_addresses_and_ids_are_gone(death: str) -> None:
    said = anonymous(death)
    assert not [trace for trace in TRACES if trace in said], said
    assert death.split()[0] in said


@pytest.mark.parametrize(
    "text",
    [
        "torch 2.13.0+cu130, ray 2.60.0",
        "non-finite loss or gradient by step 500",
        "began 12:34:56, lasted 00:01:02",
        "the loss is 0.123456789012345678901234567890",
        "ray::add failed in std::vector<int>",
        "data hash 0123abcd, score 0.5.",
        "999.1.2.3 is no address, nor is 1.2.3.4.5",
        "model: num_heads 3 must divide hidden_size 32",
    ],
)
def test_what_is_no_machine_stays(text: str) -> None:
    assert anonymous(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("127.0.0.1", "[address]"),
        ("ip=127.0.0.1.", "ip=[address]."),
        ("(10.0.0.1:80)", "([address])"),
        ("::1 is up", "[address] is up"),
        ("fe80::1%eth0, ::ffff:10.0.0.1", "[address], [address]"),
        ("at 2001:db8:0:0:0:0:0:1.", "at [address]."),
    ],
)
def test_addresses_of_either_kind(text: str, said: str) -> None:
    assert anonymous(text) == said


def test_a_page_tells_of_no_machine(tmp_path: Path) -> None:
    from tests.support.reported import TREE

    plan = simulated_plan(TREE)
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(ledger.folder, plan)
        params, config = plan.space.default()
        for death in DEATHS:
            trial = ledger.add_trial(stage="explore", params=params, config=config, seed=0)
            ledger.begin_attempt(trial.id)
            ledger.finish(trial.id, "crashed", 0.0, f"worker died: {death}")
    html = Path(str(write_report(tmp_path / "run"))).read_text()
    assert "worker died: The actor is dead because its node has died. Node Id: [id]" in html
    assert not [trace for trace in TRACES if trace in html]
