"""A Ray whose autoscaler really decides, and whose new machines are raylets on this one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

_MARK = "TRM_TEST_AUTOSCALED"


@contextmanager
def autoscaled(version: str, cpus: int, most: int) -> Iterator[str]:
    """The address of a head without a core, to which at most so many nodes of so many cores come.

    Args:
        version: of the autoscaler, `v1` or `v2`.
    """
    with tempfile.TemporaryDirectory(prefix="ra", dir="/tmp", ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ, _MARK: folder, "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_FAKE_CLUSTER": "1", "RAY_USAGE_STATS_ENABLED": "0",
        }  # fmt: skip
        config = _config(cpus, most)
        if version == "v2":
            config["provider"] |= {"launch_multiple": True, "head_node_id": FAKE_HEAD_NODE_ID}
            environment |= {
                "RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
                "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
            }  # fmt: skip
        file = Path(folder, "cluster.json")
        file.write_text(json.dumps(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--head", f"--port={port}",
            f"--temp-dir={folder}", "--num-cpus=0", "--include-dashboard=false",
            f"--autoscaling-config={file}",
        ]  # fmt: skip
        try:
            subprocess.run(command, env=environment, check=True, capture_output=True, timeout=90)
            yield f"127.0.0.1:{port}"
        finally:
            _end(folder)


def _config(cpus: int, most: int) -> dict[str, Any]:
    worker = {"CPU": cpus, "object_store_memory": 100 * 1024 * 1024}
    lists = (
        "initialization_commands", "setup_commands", "head_setup_commands",
        "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands",
        "cluster_synced_files", "rsync_exclude", "rsync_filter",
    )  # fmt: skip
    return {
        "cluster_name": "pretended",
        "provider": {"type": "fake_multinode"},
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "max_workers": most,
        **{name: list[str]() for name in lists},
        "available_node_types": {
            "worker": {
                "resources": worker, "node_config": {}, "min_workers": 0, "max_workers": most,
            },
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        },
    }  # fmt: skip


def _end(folder: str) -> None:
    """End whatever was started for this cluster, and nothing else."""
    mark = f"{_MARK}={folder}\0".encode()
    for _ in range(3):
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
        time.sleep(0.3)
