"""The wall time of a run, over all of its drivers."""

from __future__ import annotations

import time

from search.ledger.files import fields_of, read_json, write_json
from search.ledger.storage import Place
from trm.blame import blame

TIME_FILE = "time.json"
_SAVE_SECONDS = 30.0
_MEND = "restore it from a copy, or remove it to count the hours from 0"


class WallClock:
    """Counts on from what earlier drivers of a run folder have stored.

    A driver that is killed loses at most half a minute of its time.
    """

    def __init__(self, folder: Place) -> None:
        self._path = folder / TIME_FILE
        self._before = 0.0
        if self._path.exists():
            stored = read_json(self._path, _MEND)
            with fields_of(self._path, _MEND):
                self._before = float(stored["wall_seconds"])
        self._begun = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds in which a driver was at work."""
        return self._before + time.monotonic() - self._begun

    def tick(self) -> None:
        """Store the time now and then."""
        if time.monotonic() - self._saved >= _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Store the time; where storage takes nothing, what is there stays."""
        self._saved = time.monotonic()
        tree = {"schema_version": 1, "wall_seconds": round(self.seconds, 3)}
        try:
            write_json(self._path, tree, spare=False)
        except OSError as error:
            if blame(error).culprit == "config":
                raise
