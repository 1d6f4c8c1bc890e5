"""What is known of the devices of a run: how many trials share one of each class."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from cluster.packing import Packing, Probed
from search.ledger.files import fields_of, read_json, write_json
from search.ledger.storage import Place
from trm.errors import UserError

PACKING_FILE = "packing.json"


@dataclass(frozen=True)
class DeviceClass:
    """Devices that are alike, and what was found of one of them.

    Attributes:
        name: what the hardware calls itself.
        memory: bytes of one.
        most: copies that were looked at, at most.
        packing: what was found.
    """

    name: str
    memory: float
    most: int
    packing: Packing

    def text(self) -> str:
        """In one line, with the figures."""
        return f"{self.name} ({self.memory / 1e9:.0f} GB): {self.packing.text()}"

    def serves(self, name: str, memory: float, most: int) -> bool:
        """Whether it says how many trials share such a device, where no more than `most` may."""
        ended_by_itself = self.packing.copies < self.most
        return (self.name, self.memory) == (name, memory) and (ended_by_itself or most <= self.most)


class Packings:
    """Those of a run folder, kept there as they are found.

    Args:
        folder: the run's.

    Raises:
        UserError: the folder's file is damaged.
    """

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        self._known = list(read_packings(folder))
        self._lock = threading.Lock()
        self._probing: dict[tuple[str, float], threading.Lock] = {}

    def copies(self, name: str, memory: float, most: int) -> int | None:
        """Trials that share such a device; None if that is not known."""
        with self._lock:
            for known in self._known:
                if known.serves(name, memory, most):
                    return min(known.packing.copies, most)
        return None

    def keep(self, found: DeviceClass) -> None:
        """Remember what was found, in place of what was known of the class."""
        with self._lock:
            same = (found.name, found.memory)
            others = [one for one in self._known if (one.name, one.memory) != same]
            self._known = [*others, found]
            tree = {"schema_version": 1, "devices": [asdict(one) for one in self._known]}
            # It can be measured again: no second copy.
            write_json(self._folder / PACKING_FILE, tree, own=True, spare=False)

    @contextmanager
    def one_probe(self, name: str, memory: float) -> Iterator[None]:
        """Held by who measures a class: others of its nodes wait for what comes of it."""
        with self._lock:
            lock = self._probing.setdefault((name, memory), threading.Lock())
        with lock:
            yield


def read_packings(folder: Place) -> Sequence[DeviceClass]:
    """What a run folder says of its devices.

    Raises:
        DamagedFileError: the file is damaged.
    """
    path = folder / PACKING_FILE
    if not path.is_file():
        return ()
    tree = read_json(path, f"remove it: {_AGAIN}", own=True)
    with fields_of(path, f"remove it: {_AGAIN}"):
        version = int(tree["schema_version"])
        if version > 1:
            raise UserError(f"{path}: schema_version", version, "is newer than this program")
        return [_device(one) for one in tree["devices"]]


_AGAIN = "`trm sweep --resume` measures again"


def _device(tree: dict[str, object]) -> DeviceClass:
    own = dict(tree)
    packing = own.pop("packing")
    assert isinstance(packing, dict), packing
    probes = tuple(Probed(**one) for one in packing.pop("probes"))
    return DeviceClass(packing=Packing(probes=probes, **packing), **own)  # type: ignore[arg-type]
