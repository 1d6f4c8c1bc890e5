"""Writes down, a few times a second, which nodes a Ray cluster takes for alive.

python node_watch.py ADDRESS FILE
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(address: str, file: str) -> None:
    from ray._raylet import GcsClient

    client = None
    while True:
        when = time.time()
        try:
            client = client or GcsClient(address=address)
            nodes = client.get_all_node_info(timeout=3.0)
            alive = {
                node.node_manager_hostname: node.node_id.hex()
                for node in nodes.values()
                if node.state == 0
            }
        except Exception as error:  # the head is gone, or not there yet
            print(f"{time.time():.1f} {type(error).__name__}: {error}", flush=True)
            client = None
            time.sleep(0.2)
            continue
        with open(f"{file}.new", "w", encoding="utf-8") as out:
            json.dump({"when": when, "alive": alive}, out)
        os.replace(f"{file}.new", file)
        time.sleep(0.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
