"""Whether a cluster takes us: who answers at an address, and whether it wants a token.

Ray asks for a token wherever one lay in the home folder of who started it. A driver that sends none
is refused there; one that has sent one to a cluster without tokens is refused its own workers'
calls (ray 2.60). So the cluster is asked, and the driver does as it wants.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError

MODE = "RAY_AUTH_MODE"
TOKEN = "RAY_AUTH_TOKEN"  # a variable's name
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"
_ANSWER_SECONDS = 12.0
"""How long a cluster may take to say whether it takes us."""
_LOAD_SECONDS = 60.0
"""How long Ray may take to be loaded, on top."""
_START = "start one with `ray start --head`, or give its host:port"


@dataclass(frozen=True)
class Admission:
    """A cluster that takes us.

    Attributes:
        address: its host and port.
        token: whether it wants the token that is here.
        nodes: the resources of each node that is up.

    >>> Admission("10.0.0.1:6379", token=True).variables
    {'RAY_AUTH_MODE': 'token'}
    """

    address: str
    token: bool
    nodes: Sequence[Mapping[str, float]] = ()

    @property
    def variables(self) -> dict[str, str | None]:
        """Of the environment, by which Ray sends a token or does not."""
        return {MODE: "token" if self.token else "disabled"}


def token_source() -> str | None:
    """Where Ray finds the token here, never what it is; None where there is none.

    >>> import os
    >>> os.environ["RAY_AUTH_TOKEN"] = "secret"
    >>> token_source()
    'RAY_AUTH_TOKEN'
    >>> del os.environ["RAY_AUTH_TOKEN"]
    """
    if os.environ.get(TOKEN):
        return TOKEN
    if given := os.environ.get(TOKEN_PATH):
        return f"{given} ({TOKEN_PATH})"
    try:
        kept = Path.home() / ".ray" / "auth_token"
        return str(kept) if kept.exists() else None
    except (OSError, RuntimeError):
        return None


def check_address(address: str, timeout: float = 5.0) -> None:
    """Make sure that a Ray cluster takes us at an address, before anything is started.

    Args:
        address: `auto` or `host:port`.
        timeout: seconds to wait for somebody at `host:port`.

    Raises:
        ClusterError: the address is malformed, of the client protocol, no cluster answers there, or
            it wants a token that is not here.

    >>> check_address("localhost:1")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    cluster.errors.ClusterError: --address localhost:1: nobody ...
    """
    admission(address, timeout)


def admission(address: str, timeout: float = 5.0) -> Admission:
    """Ask a cluster whether it takes us, and how.

    Args:
        address: `auto` or `host:port`.
        timeout: seconds to wait for somebody at `host:port`.

    Raises:
        ClusterError: as of `check_address`.
    """
    given = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    shown = f"--address {address}" + (f" (RAY_ADDRESS={given})" if given != address else "")
    if given != "auto":
        _require_somebody(given, shown, timeout)
    answer = _ask(given)
    found, state = answer.get("address", ""), answer["state"]
    if given == "auto" and found:
        shown += f" ({found})"
    if state in ("open", "token"):
        if state == "token" and os.environ.get(MODE, "").lower() == "disabled":
            raise ClusterError(
                f"{shown}: the cluster asks for a token, which {MODE}=disabled keeps back; "
                f"unset {MODE}"
            )
        return Admission(found, token=state == "token", nodes=answer["nodes"])
    raise ClusterError(f"{shown}: {_refusal(state, answer.get('detail', ''))}")


def _refusal(state: str, detail: str) -> str:
    if state in ("missing", "unreadable", "wrong"):
        return f"the cluster {asks_for_another(state == 'wrong')}"
    if state == "none":
        return f"no Ray cluster is up on this machine; {_START}"
    if state == "nobody":
        return f"nobody answers ({detail}); {_START}"
    if state == "silent":
        return (
            f"no Ray cluster has answered in {_ANSWER_SECONDS:.0f} s; check host and port, and "
            "what runs there (`ray status` on the head)"
        )
    return f"it cannot be asked whether it takes us ({detail}); `trm doctor` looks at this machine"


def asks_for_another(sent: bool) -> str:
    """What is wrong with the token that is here, and what to do, as the end of a sentence.

    Args:
        sent: whether the cluster has seen it.
    """
    right = "`ray get-auth-token` prints the right one where the head was started"
    source = token_source()
    if sent:
        return f"asks for a token, and {source} holds another one; {right}"
    here = f"{source} cannot be read or is empty" if source else "there is none here"
    keep = "keep it here in ~/.ray/auth_token, for you alone (chmod 600)"
    return f"asks for a token, and {here}; {right}: {keep}"


def _require_somebody(address: str, shown: str, timeout: float) -> None:
    if address.startswith("ray://"):
        raise ClusterError(
            f"{shown}: a Ray Client address would run the sweep on the far side, where "
            "this machine's files are not; run it there: ray job submit --address "
            f"http://{address[6:].split(':')[0]}:8265 -- trm sweep ... --address auto"
        )
    match = re.fullmatch(r"\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if match is None:
        raise ClusterError(f"{shown}: must be `auto` or host:port, as in 10.0.0.1:6379")
    host, port = match[1], int(match[2])
    try:
        socket.create_connection((host, port), timeout).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"{shown}: nobody answers ({error}); check host and port, and that the "
            "head node is up (`ray status` there)"
        ) from error


def _ask(address: str) -> dict[str, Any]:
    script = str(Path(__file__).with_name("asker.py"))
    command = [sys.executable, "-P", script, address, str(_ANSWER_SECONDS)]
    environment = {**os.environ, MODE: "disabled", "RAY_ADDRESS": ""}
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=_ANSWER_SECONDS * 2 + _LOAD_SECONDS, check=False,
        )  # fmt: skip
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    except subprocess.TimeoutExpired:
        return {"state": "silent"}
    except (IndexError, ValueError):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"state": "failed", "detail": lines[-1].strip()[:200] if lines else "it ended"}


@contextmanager
def variables_of_tokens(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Within, Ray's variables have these values (None: they are not set), and Ray heeds them."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    # Ray has read them when it was imported, or when it was started last (ray 2.60).
    from ray._raylet import (  # type: ignore[attr-defined]
        AuthenticationTokenLoader,
        Config,
    )

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
