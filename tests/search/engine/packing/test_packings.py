"""What a run folder knows of its devices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.packing import Packing, Probed
from search.engine.packing.packings import PACKING_FILE, DeviceClass, Packings, read_packings
from search.ledger.files import DamagedFileError

PROBES = (Probed(1, 10.0, 3e9), Probed(2, 19.0, 6e9), Probed(3, 19.5, 9e9))
ENDED = DeviceClass("H200", 140e9, 8, Packing(2, PROBES, "3 are not 10% faster together"))
CUT_OFF = DeviceClass("A100", 40e9, 4, Packing(4, PROBES, "no more than 4 were to be tried"))


def test_what_was_found_is_found_again(tmp_path: Path) -> None:
    first = Packings(tmp_path)
    assert first.copies("H200", 140e9, 8) is None
    first.keep(ENDED)
    first.keep(CUT_OFF)
    assert list(read_packings(tmp_path)) == [ENDED, CUT_OFF]
    again = Packings(tmp_path)
    assert again.copies("H200", 140e9, 8) == 2
    assert again.copies("H200", 80e9, 8) is None, "of the same name with less memory"


def test_it_serves_where_more_would_not_have_been_looked_at(tmp_path: Path) -> None:
    known = Packings(tmp_path)
    known.keep(ENDED)
    known.keep(CUT_OFF)
    # A node with more cores a device: what ended by itself holds there, what was cut off does not.
    assert known.copies("H200", 140e9, 32) == 2
    assert known.copies("A100", 40e9, 32) is None
    # A node with fewer cores holds no more than it holds.
    assert known.copies("A100", 40e9, 3) == 3
    assert known.copies("H200", 140e9, 1) == 1


def test_how_many_trainings_the_memory_holds(tmp_path: Path) -> None:
    known = Packings(tmp_path)
    assert known.holds() is None
    known.keep(DeviceClass("odd", 40e9, 1, Packing(1, (), "it failed")))
    assert known.holds() is None, "nothing was measured"
    known.keep(ENDED)
    assert known.holds() == 42, "of 3 GB in 90 % of 140"
    known.keep(CUT_OFF)
    assert known.holds() == 12, "every kind has to"
    known.keep(DeviceClass("small", 2e9, 1, Packing(1, (Probed(1, 9.0, 1.9e9),), "2 do not fit")))
    assert known.holds() == 1


def test_a_class_that_is_measured_anew_is_replaced(tmp_path: Path) -> None:
    known = Packings(tmp_path)
    known.keep(CUT_OFF)
    known.keep(DeviceClass("A100", 40e9, 16, Packing(6, (), "8 ran out of memory")))
    assert len(read_packings(tmp_path)) == 1
    assert Packings(tmp_path).copies("A100", 40e9, 16) == 6


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    Packings(tmp_path).keep(ENDED)
    path = tmp_path / PACKING_FILE
    text = path.read_text()
    path.write_text(text[:-20])
    with pytest.raises(DamagedFileError, match="measures again"):
        read_packings(tmp_path)
    path.write_text(text.replace('"copies": 2', '"copies": 3', 1))
    with pytest.raises(DamagedFileError, match="measures again"):
        read_packings(tmp_path)
    tree = json.loads(text)
    del tree["devices"][0]["packing"]
    path.write_text(json.dumps(tree))
    with pytest.raises(DamagedFileError):
        read_packings(tmp_path)


def test_its_line_has_the_figures() -> None:
    assert ENDED.text() == (
        "H200 (140 GB): 2 trials a device: steps/s of 1: 10 (3.00 GB), 2: 19 (6.00 GB), "
        "3: 19.5 (9.00 GB); 3 are not 10% faster together"
    )
