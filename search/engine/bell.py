"""How a worker hears that its driver was asked to stop: it looks into the run folder itself."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from search.engine.presence import files_in
from search.ledger.storage import Place
from trm.files.driver_note import asked_to_stop
from trm.files.presence import LOOK

LOOK_OF_WORKERS = 10.0
"""Seconds between two looks at an object store, of which there may be many workers."""


class Bell:
    """Rings once the driver of this token was asked to stop; a thread of its own looks.

    Args:
        folder: the run's.
        driver: its token; without one nobody looks.
    """

    def __init__(self, folder: Place, driver: str) -> None:
        self.rung = False
        self._folder, self._driver = folder, driver
        self._waits = threading.Event()
        if driver:
            threading.Thread(target=self._listen, daemon=True, name="bell").start()

    def _listen(self) -> None:
        look = LOOK if isinstance(self._folder, Path) else LOOK_OF_WORKERS
        files = files_in(self._folder)
        while not self._waits.wait(look):
            with suppress(Exception):  # storage may answer the next time
                if asked_to_stop(files) == self._driver:
                    self.rung = True
                    return
