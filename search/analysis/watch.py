"""A run's state, or a training's, shown anew until no driver is at work."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext

from search.analysis.status import starting, status, status_text
from search.analysis.training_status import holds_training, training_state
from search.ledger.storage import Place, place

_SHARE = 0.2
"""Of its time that looking may take, at most: a large run is looked at less often."""


def shown(folder: Place | str, *, as_json: bool, explain: bool = False) -> tuple[str, bool]:
    """The state as text, and whether a driver is at work.

    >>> text, works = shown(run, as_json=False)
    >>> "v1-4c28bd145f3e: 4 trials wanted" in text, works
    (True, False)

    Raises:
        UserError: no run is there.
    """
    where = place(folder)
    if holds_training(where):
        training = training_state(where)
        text = json.dumps(training.tree()) if as_json else training.text()
        return text, bool(training.holder)
    begins = starting(folder)
    if begins is not None:
        holder = begins["at_work"]["holder"]
        text = f"{folder}: {holder} is at work: starting; nothing has been drawn yet"
        return json.dumps(begins) if as_json else text, True
    if as_json:
        state = status(folder)
        return json.dumps(state), state["at_work"] is not None
    text = status_text(folder, explain=explain)
    return text, " is at work: " in text


def watch(folder: Place | str, seconds: float, *, as_json: bool, explain: bool = False) -> None:
    """Show a run's state every so many seconds; as JSON a line each, off a terminal the last alone.

    Raises:
        UserError: no run is there.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    draws = console.is_terminal and not as_json
    live = Live(console=console, auto_refresh=False, transient=True)
    with live if draws else nullcontext():
        while True:
            begun = time.monotonic()
            text, works = shown(folder, as_json=as_json, explain=explain)
            if as_json and works:
                print(text, flush=True)
            if draws and works:
                live.update(Text(text), refresh=True)
            if not works:
                break
            time.sleep(max(seconds, (time.monotonic() - begun) / _SHARE))
    print(text)
