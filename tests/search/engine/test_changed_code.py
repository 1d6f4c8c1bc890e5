from __future__ import annotations

from pathlib import Path

import pytest

from search.engine.changed_code import warn_of_changed_code
from search.ledger.trial import Trial
from tests.support.plugin_folder import working_in
from trm.plugins import import_plugins
from trm.provenance import plugin_provenance


def test_trials_that_ran_with_other_code_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with working_in(tmp_path, monkeypatch):
        name = "counted_plugin_of_test"
        (tmp_path / f"{name}.py").write_text("")
        import_plugins([name])
        same, other = plugin_provenance([name]), {f"plugin {name}": "0"}
        trials = [
            Trial(number, "explore", number, 0, {}, {}, provenance=found)
            for number, found in enumerate([same, other, {}, other, {"plugin gone": "1"}])
        ]
        warn_of_changed_code([name], trials)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            f"trm: warning: plug-in {name}: 2 trial(s) of this run ran with other code of it"
        )
        warn_of_changed_code([name], trials[:1])
        assert capsys.readouterr().err == ""
