"""How commands that start runs on Ray end, and the command line that goes on."""

from __future__ import annotations

import argparse
from typing import NoReturn

import pytest

from cluster.connect import ClusterError
from search.commands.options import ends_well, resuming
from search.ledger.lease import LeaseLostError
from search.sweep.stages import LimitReachedError, NoWinnerError
from trm.errors import UserError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (NoWinnerError("no trial completed"), 1, "trm: no trial completed"),
        (LeaseLostError("another driver has it"), 1, "trm: another driver has it"),
        (ClusterError("Ray does not start"), 1, "trm: Ray does not start"),
        (LimitReachedError("2 h are spent: go on"), 1, "trm: 2 h are spent: go on with: trm x"),
    ],
)
def test_an_end_that_is_no_defect_is_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> NoReturn:
        raise error

    assert ends_well(work, limited="trm x") == code
    assert capsys.readouterr().err == f"{line}\n"


def test_bad_input_and_defects_are_for_the_command_line() -> None:
    def work(error: Exception) -> NoReturn:
        raise error

    for error in (UserError("out", 1, "is bad"), ValueError("a defect")):
        with pytest.raises(type(error)):
            ends_well(lambda error=error: work(error))  # type: ignore[misc]


def test_the_command_that_goes_on_can_be_pasted() -> None:
    args = argparse.Namespace(
        config="my file.yaml", sets=["name=a b"], out="runs/x", parallel=None,
        warm_start=["a", "b c"],
    )  # fmt: skip
    expected = (
        "trm sweep 'my file.yaml' --set 'name=a b' --out runs/x --warm-start a "
        "--warm-start 'b c' --resume"
    )
    assert resuming(args, "sweep", ("out", "parallel", "warm-start")) == expected
