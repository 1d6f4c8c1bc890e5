"""Saying that a run goes on under another code of its plug-ins than it had before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from search.ledger.trial import Trial
from search.logs.console import warn
from trm.provenance import changed_plugins, plugin_provenance


def warn_of_changed_code(plugins: Sequence[str], trials: Iterable[Trial]) -> None:
    """One line for each plug-in that any of the trials ran with in another form.

    Args:
        plugins: the modules that the run's config names; they are imported.
    """
    now = plugin_provenance(plugins)
    changed = Counter(name for trial in trials for name in changed_plugins(trial.provenance, now))
    for name, count in sorted(changed.items()):
        warn(
            f"plug-in {name}: {count} trial(s) of this run ran with other code of it, so scores "
            "may not compare; the run goes on (another --out keeps them apart)"
        )
