"""What every live log promises, as one function for the tests of plug-ins."""

from __future__ import annotations

import tempfile
from pathlib import Path

from search.config.sinks import (
    LOG_SINKS,
    LoggedRun,
    LogSinkConfig,
    RunEnd,
    Sink,
    require_sink,
)
from trm.report import COLUMNS, ReportRow
from trm.testing.sections import check_section

_RUN = LoggedRun("0", "sweep-0", "explore-00000", "sweep", "explore", {"task": {}}, {"lr": 0.1})
_OTHER = LoggedRun("1", "sweep-1", "confirm-00001", "sweep", "confirm", {"task": {}}, {})
_FULL: ReportRow = dict.fromkeys(COLUMNS, 0.5) | {"step": 10, "mark": 1, "diverged": False}
_SPARSE: ReportRow = {"step": 20, "mark": 2, "exact_accuracy": 0.25}


def check_sink(config: LogSinkConfig) -> None:
    """Log two runs at once, as a sweep does that is stopped in between and gone on with.

    Raises:
        AssertionError: the log breaks a promise.
        Exception: whatever its methods raise.
    """
    check_section(LOG_SINKS, config)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "log"
        folder.mkdir()
        sink = _built(config, folder)
        sink.begin(_RUN)
        sink.add("0", _FULL)
        sink.begin(_OTHER)
        sink.add("1", _FULL)
        sink.end("1", None)
        sink.add("0", _SPARSE)
        sink.end("0", RunEnd("completed", 0.25, "", failed=False))
        sink.close()
        assert any(folder.rglob("*")), f"nothing is written below the folder {folder.name}"
        again = _built(config, folder)
        again.begin(_OTHER)
        for row in (_FULL, _SPARSE):
            again.add("1", row)
        again.end("1", RunEnd("diverged", None, "a reason", failed=True))
        again.begin(_RUN)
        again.end("0", RunEnd("completed", 0.25, "", failed=False))
        again.close()


def _built(config: LogSinkConfig, folder: Path) -> Sink:
    sink = config.build(folder, "sweep")
    require_sink(config.name, sink)
    assert sink.folder == folder, "its folder is not the one that it was given"
    assert sink.name, "it has no name for warnings"
    return sink
