"""What kind of thing is to be imported."""

from __future__ import annotations

import re
from pathlib import Path

from trm.files.yaml12 import read_yaml

_ZIPPED, _PICKLED = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9c"
"""How a file of `torch.save` begins, and one of before torch 1.6."""


def is_weights(source: Path) -> bool:
    """Whether a file holds weights, by its first bytes: nothing of it is read, and torch is not
    imported."""
    if not source.is_file():
        return False
    with source.open("rb") as file:
        head = file.read(16)
    safe = source.suffix == ".safetensors" and re.fullmatch(rb"\{", head[8:9]) is not None
    return safe or head.startswith((_ZIPPED, _PICKLED))


def is_arch(config: Path) -> bool:
    """Whether a file is a config of the reference repository, and so none of a history."""
    if not config.is_file():
        return False
    tree = read_yaml(config)
    return "arch" in tree or {"hidden_size", "H_cycles"} <= tree.keys()
