"""Asks a Ray cluster whether it takes this user. Run as a script, never imported.

In a process of its own, because Ray's client (2.60) waits 40 s for a server that is none of Ray's,
writes to standard error, and reads once for all whether it is to send a token.

Usage: asker.py ADDRESS SECONDS, with RAY_AUTH_MODE=disabled. Prints the answer as JSON: `address`
(host and port, once found), `nodes` (what each that is up has, where we are taken) and `state`:

    open        takes everybody
    token       takes our token, and nobody without
    wrong       asks for a token, and not for ours
    missing     asks for a token, and there is none here
    unreadable  the same, and the file that is to hold it cannot be read
    none        no cluster is up on this machine (of `auto`)
    nobody      no answer at the address
    silent      an answer, but none of Ray's
"""

import json
import os
import socket
import sys
import threading
from typing import Any


def tell(state: str, address: str = "", detail: str = "", client: Any = None) -> None:
    """Print the answer and end, whatever else runs."""
    answer = {"state": state, "address": address, "detail": detail}
    nodes = [] if client is None else _nodes(client)
    print(json.dumps({**answer, "nodes": nodes}), flush=True)
    os._exit(0)


def _nodes(client: Any) -> list[dict[str, float]]:
    found = client.get_all_node_info(timeout=5.0).values()
    return [dict(node.resources_total) for node in found if node.state == 0]  # ALIVE


def main() -> None:
    wanted, seconds = sys.argv[1], float(sys.argv[2])
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import (  # type: ignore[attr-defined]
        AuthenticationTokenLoader,
        Config,
        GcsClient,
    )
    from ray.exceptions import AuthenticationError

    try:
        address = canonicalize_bootstrap_address(wanted)
    except ConnectionError:
        address = None
    if address is None:
        tell("none")
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except OSError as error:
        tell("nobody", address, str(error))
    clock = threading.Timer(seconds, tell, ("silent", address))
    clock.daemon = True
    clock.start()
    try:
        client = GcsClient(address=address)
        tell("open", address, client=client)
    except AuthenticationError:
        pass
    loader = AuthenticationTokenLoader.instance()
    try:
        if not loader.has_token(ignore_auth_mode=True):
            tell("missing", address)
    except AuthenticationError:
        tell("unreadable", address)
    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")
    try:
        client = GcsClient(address=address)
        tell("token", address, client=client)
    except AuthenticationError:
        tell("wrong", address)


if __name__ == "__main__":
    main()
