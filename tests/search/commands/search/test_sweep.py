"""What `trm sweep` and `trm stability` say at their end."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli import main
from search.commands.search.sweep import print_result
from search.ledger.files import REPORT_FILE
from search.sweep.run import Run
from tests.support.damaged import finished_run


def test_the_page_is_named_by_what_writes_it_or_where_it_lies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(tmp_path / "my run")
    print_result(Run(run), as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"write its page with: trm report '{run}'"
    assert main(["report", str(run)]) == 0
    capsys.readouterr()
    print_result(Run(run), as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert (
        last
        == f"its page, {run / REPORT_FILE}, is of before; write it anew with: trm report '{run}'"
    )
    print_result(Run(run), as_json=True)
    assert REPORT_FILE not in capsys.readouterr().out
