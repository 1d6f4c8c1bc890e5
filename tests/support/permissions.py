"""Commands as somebody whom file permissions bind, which root is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

_BEYOND = "-dac_override,-dac_read_search"
"""What lets root pass: without it, the owner's bits hold for root too."""


def bound(command: Sequence[str]) -> list[str] | None:
    """The command line under which permissions hold for us; None where there is no such way."""
    if os.geteuid() != 0:
        return [*command]
    if shutil.which("setpriv") is None:
        return None
    return ["setpriv", "--bounding-set", _BEYOND, "--inh-caps", _BEYOND, *command]
