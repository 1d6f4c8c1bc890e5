"""A job on a cluster that is up, with the program's code shipped along (`ray job submit`)."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cluster.admission import MODE, asks_for_another, token_source, variables_of_tokens
from cluster.launch.errors import LaunchError
from cluster.launch.job import AUTO, LaunchJob, is_uri, require_reachable
from cluster.launch.settings import Machines
from cluster.launch.words import command

CONFIG = "trm-sweep.yaml"
"""The config's name in the folder that is shipped."""
# `python` is whatever the node finds first. The right one belongs to the environment from which the
# parent, a worker of Ray, has loaded Ray's library.
_FIND_PYTHON = (
    "python=$(sed -n 's#^[^/]*\\(/.*\\)/lib/python3[^/]*/site-packages/ray/_raylet.so$#"
    '\\1/bin/python3#p\' "/proc/$PPID/maps" | head -n 1)'
)


def entrypoint(job: LaunchJob, machines: Machines) -> str:
    """The command line that the head runs, in the folder that was shipped.

    >>> job = LaunchJob("mine", ("-m", "mine"), "", "", (), "s3://b/mine")
    >>> entrypoint(job, Machines(python="/opt/trm/bin/python"))
    '/opt/trm/bin/python -m mine trm-sweep.yaml --out s3://b/mine --resume --address auto'

    Raises:
        LaunchError: a key of the `cluster` section does not fit.
    """
    if not is_uri(job.out) and not job.out.startswith("/"):
        raise LaunchError(
            "cluster.storage", job.out,
            "is no full path: name a folder that all nodes of the cluster share, or a bucket",
        )  # fmt: skip
    require_reachable(job, ["/"] if not is_uri(job.out) else [], "put it in a bucket")
    # The working directory is the folder with the code, so it has to be on Python's path: no -P.
    words = [word for word in job.words(CONFIG, AUTO) if word != "-P"]
    if machines.python:
        return command(machines.python, *words)
    return f'{_FIND_PYTHON}; exec "${{python:-python3}}" {command(*words)}'


@contextmanager
def shipped(job: LaunchJob) -> Iterator[Path]:
    """A folder with the program's packages and its config, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="trm-submit-") as scratch:
        for name, source in job.packages.items():
            target = Path(scratch, name)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        Path(scratch, CONFIG).write_text(job.text, encoding="utf-8")
        yield Path(scratch)


def submit(job: LaunchJob, machines: Machines, address: str) -> str:
    """Send the job to a cluster; returns the name by which the cluster knows it.

    Args:
        address: of the cluster's dashboard, as in `http://head:8265`.

    Raises:
        LaunchError: nobody answers or takes jobs there, or a key does not fit.
    """
    line = entrypoint(job, machines)
    from ray.exceptions import RayError

    client = _client(address)
    # Ray tells of its upload in lines that are for its own developers.
    logging.disable(logging.INFO)
    with shipped(job) as folder:
        try:
            return str(client.submit_job(entrypoint=line, runtime_env={"working_dir": str(folder)}))
        except (RayError, RuntimeError, ValueError, OSError) as error:
            raise LaunchError("--address", address, f"refuses the job: {_line(error)}") from error
        finally:
            logging.disable(logging.NOTSET)


def _client(address: str) -> Any:
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise LaunchError(
            "--address", address, "must be the dashboard's address, as in http://head:8265"
        )
    from ray.exceptions import AuthenticationError, RayError

    try:
        from ray.job_submission import JobSubmissionClient

        try:
            return JobSubmissionClient(address)
        except AuthenticationError:
            if os.environ.get(MODE, "").lower() == "disabled" or token_source() is None:
                raise
            # The client keeps what it has read.
            with variables_of_tokens({MODE: "token"}):
                return JobSubmissionClient(address)
    except ImportError as error:
        raise LaunchError(
            "trm cluster submit", None, "needs ray[default]: pip install 'trm-search[cluster]'"
        ) from error
    except AuthenticationError as error:
        if os.environ.get(MODE, "").lower() == "disabled":
            why = f"asks for a token, which {MODE}=disabled keeps back; unset {MODE}"
        else:
            why = asks_for_another(token_source() is not None)
        raise LaunchError("--address", address, why) from error
    except (RayError, RuntimeError, ValueError, OSError) as error:
        raise LaunchError(
            "--address", address,
            f"does not take jobs ({_line(error)}): check it, and that the head has ray[default]",
        ) from error  # fmt: skip


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
