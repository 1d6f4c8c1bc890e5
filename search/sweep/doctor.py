"""Whether a sweep can run here: the machine, Ray, where runs are stored, W&B, and every node."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cluster.doctor import Check, machine_checks
from search.ledger.storage import Place, place
from trm.errors import UserError
from trm.files.run_folder import cache_folder
from trm.files.secret_uris import refuse_secrets

PACKAGE = "trm-search"
HERE = ""
"""The name of this machine among the nodes."""


def checks(out: str, address: str | None = None) -> Iterator[tuple[str, Check]]:
    """Every check, one by one as it is done, with the node that it is of (`HERE`: this machine).

    >>> node, check = next(checks("runs"))
    >>> check.name, check.verdict
    ('python', 'ok')

    Args:
        out: the folder or URI that runs are to lie in.
        address: a cluster whose every node is asked too; None asks this machine alone, and starts
            Ray on it.

    Raises:
        UserError: no cluster takes us at the address, or a URI with a password in it.
    """
    refuse_secrets(out)
    if address is not None:
        from cluster.admission import check_address
        from cluster.errors import ClusterError

        try:
            check_address(address)
        except ClusterError as error:
            raise UserError(str(error).replace("--address", "--cluster", 1)) from error
    local = None if "://" in out else Path(out)
    for check in machine_checks(PACKAGE, local or Path()):
        yield HERE, check
    yield HERE, cache_check()
    if local is None:
        yield HERE, storage_check(out)
    yield HERE, wandb_check()
    from cluster.node_checks import cluster_checks, ray_check

    if address is None:
        yield HERE, ray_check()
    else:
        yield from cluster_checks(address, PACKAGE, local)


def cache_check() -> Check:
    """Whether generated data can be kept."""
    name = "cache"
    try:
        folder = cache_folder()
        if folder is None:
            return Check(name, "note", "no place for it", "set TRM_CACHE to a folder of yours")
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".trm-doctor-{secrets.token_hex(8)}"
        probe.write_bytes(b"x")
        probe.unlink()
    except (OSError, UserError) as error:
        remedy = "data is made anew each time: set TRM_CACHE to a folder of yours"
        return Check(name, "note", str(error), remedy)
    return Check(name, "ok", str(folder))


def storage_check(uri: str) -> Check:
    """A write, a read and a removal where runs are to lie."""
    begun = time.perf_counter()
    probe: Place | None = None
    wrong = None
    try:
        probe = place(uri) / f".trm-doctor-{secrets.token_hex(8)}"
        data = secrets.token_bytes(4096)
        probe.write_bytes(data)
        if probe.read_bytes() != data:
            wrong = "what is read back is not what was written"
    except (OSError, UserError) as error:
        wrong = " ".join(str(error).removeprefix(f"{uri}: ").split())[:300]
    finally:
        if probe is not None:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
    if wrong:
        return Check("storage", "bad", f"{uri}: {wrong}", "check URI, credentials, network")
    taken = time.perf_counter() - begun
    return Check("storage", "ok", f"{uri}: written, read and removed in {taken:.1f} s")


def wandb_check() -> Check:
    """Whether `log.wandb: online` would work, as far as that can be told without asking W&B."""
    from search.logs.wandb import require_login

    try:
        require_login()
    except UserError as error:
        return Check("wandb", "note", "no usable key", f"needed for online: {_remedy(error)}")
    except Exception as error:  # whatever a settings file of W&B makes its reader raise
        return Check("wandb", "note", f"cannot be asked: {error}", "only log.wandb needs it")
    return Check("wandb", "ok", "a key is there")


def _remedy(error: UserError) -> str:
    return str(error).partition("key: ")[2] or str(error)
