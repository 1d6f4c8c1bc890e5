from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
from pyarrow.fs import S3FileSystem

from cluster.connect import Cluster, connected
from cluster.resources import Share, worker_environment


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """One Ray of two cores for the whole session."""
    with connected(cpus=2, environment=worker_environment(Share())) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server on this machine, and credentials for it in the environment."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
    put_object, one_at_a_time = S3Response.put_object, threading.Lock()

    def put_at_once(self: S3Response) -> Any:
        # moto looks at a condition first and stores afterwards; a store does both at once.
        with one_at_a_time:
            return put_object(self)

    S3Response.put_object = put_at_once  # type: ignore[method-assign]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    mine = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in mine}
    os.environ |= mine
    yield f"{host}:{port}"
    server.stop()
    S3Response.put_object = put_object  # type: ignore[method-assign]
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


_buckets = itertools.count()


@pytest.fixture
def uri(s3_server: str) -> Callable[[str], str]:
    """`uri("run")` in a bucket of the test's own."""
    bucket = f"bucket-{os.getpid()}-{next(_buckets)}"
    S3FileSystem(endpoint_override=s3_server, scheme="http", allow_bucket_creation=True).create_dir(
        bucket
    )
    return lambda name: f"s3://{bucket}/{name}?endpoint_override={s3_server}&scheme=http"
