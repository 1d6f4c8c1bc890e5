"""A Ray of a head without cores, whose autoscaler brings pretended nodes of this machine."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

from cluster.launch.awaiting import port_answers
from cluster.launch.node import VARIABLE, end, folder_of, own_address, ray_start

# Not `ray.cluster_utils.AutoscalingCluster`: it reads a file that Ray's wheel lacks (2.60), takes
# port 6379, and begins and ends with `ray stop --force`, which ends every Ray of the machine.
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD = "ray.head.default"


@contextmanager
def autoscaled(
    version: Literal["v1", "v2"],
    types: Mapping[str, Mapping[str, float]],
    *,
    most: int = 3,
    idle_seconds: float = 15.0,
) -> Iterator[str]:
    """The address of a head with an autoscaler.

    Args:
        types: of nodes, with the resources of each.
        most: nodes, together.
        idle_seconds: after which a node that does nothing is taken away.
    """
    mark = secrets.token_hex(5)
    address, folder = own_address(), folder_of(mark)
    folder.mkdir(mode=0o700)
    file = folder / "autoscaler.json"
    file.write_text(json.dumps(_config(address, types, most, idle_seconds)))
    environment = {
        **os.environ, VARIABLE: mark, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_AUTH_MODE": "disabled",
    }  # fmt: skip
    if version == "v2":
        # `ray up` and KubeRay set these on every head.
        environment |= {
            "RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
            "RAY_NODE_TYPE_NAME": HEAD,
        }  # fmt: skip
    words = ray_start(address, folder, head=True, cpus=None, gpus=0)
    with open(folder / "log", "wb") as log:
        head = subprocess.Popen(
            [sys.executable, *words, "--num-cpus=0", f"--autoscaling-config={file}"],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        assert port_answers(address, 60.0), (folder / "log").read_text()
        while "Ray runtime started" not in (folder / "log").read_text():
            assert head.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield address
        assert head.poll() is None, (folder / "log").read_text()
    finally:
        head.terminate()
        head.wait(60)
        end(mark)


def _config(
    address: str, types: Mapping[str, Mapping[str, float]], most: int, idle_seconds: float
) -> dict[str, Any]:
    workers = {
        name: {
            "resources": {"object_store_memory": 100_000_000, **resources},
            "node_config": {}, "min_workers": 0, "max_workers": most,
        }
        for name, resources in types.items()
    }  # fmt: skip
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    texts = ("initialization_commands", "setup_commands", "head_setup_commands")
    more = ("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    lists = ("cluster_synced_files", "rsync_exclude", "rsync_filter")
    return {
        "cluster_name": "pretended", "max_workers": most, "upscaling_speed": 10.0,
        "idle_timeout_minutes": idle_seconds / 60.0, "head_node_type": HEAD,
        "provider": {
            "type": "external", "module": PROVIDER, "use_node_id_as_ip": True,
            "disable_node_updaters": True, "disable_launch_config_check": True,
            "gcs_address": address, "launch_multiple": True, "head_node_id": FAKE_HEAD_NODE_ID,
        },
        "available_node_types": {HEAD: head, **workers}, "auth": {}, "docker": {},
        "file_mounts": {}, "file_mounts_sync_continuously": False,
        **{name: [] for name in (*texts, *more, *lists)},
    }  # fmt: skip
