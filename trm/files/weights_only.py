"""A checkpoint without what only going on with its training needs: it evaluates, solves, and starts
other runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from trm.files.replace import sync
from trm.files.sums import FILES, HEAD, OWN, with_sums

WEIGHTS = ("weights.safetensors", "ema.safetensors")
"""What it keeps beside its head: the live weights and, where the run kept them, the averaged."""


def weights_bytes(checkpoint: Path) -> int:
    """Bytes that `copy_weights` would write, but for the head.

    Raises:
        OSError: a file is there and cannot be looked at.
    """
    return sum((checkpoint / name).stat().st_size for name in _kept(checkpoint))


def copy_weights(checkpoint: Path, target: Path) -> None:
    """Copy a checkpoint without optimiser, carry and generators to a new folder, all or nothing.

    Raises:
        OSError: a file is missing, or storage takes or gives none; nothing is left.
    """
    head = json.loads((checkpoint / HEAD).read_text(encoding="utf-8"))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for name in _kept(checkpoint):
            shutil.copyfile(checkpoint / name, partial / name)
        rest = {key: value for key, value in head.items() if key not in (FILES, OWN)}
        text = json.dumps(with_sums(rest, partial), indent=1) + "\n"
        (partial / HEAD).write_text(text, encoding="utf-8")
        for path in partial.iterdir():
            sync(path)
        sync(partial)
        os.replace(partial, target)
        sync(target.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _kept(checkpoint: Path) -> list[str]:
    return [name for name in WEIGHTS if (checkpoint / name).is_file()]
