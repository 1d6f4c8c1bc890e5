"""Conditional writes: of any number of drivers one has the lease; stores without them are known."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from moto.s3.responses import S3Response
from werkzeug.datastructures import Headers

import search.ledger.lease
from search.ledger.conditional import ChangedError, ConditionalObject, _profile_keys
from search.ledger.lease import Lease, LeaseLostError, read_holder
from search.ledger.storage import Remote, place
from trm.errors import LockWarning, UserError

pytest.importorskip("obstore")

Answer = tuple[int, dict[str, Any], str]
OTHER = {"token": "other", "host": "elsewhere", "pid": 17}


@pytest.fixture
def run(uri: Callable[[str], str]) -> Remote:
    found = place(uri("run"))
    assert isinstance(found, Remote)
    return found


def leave_expired(file: Remote) -> None:
    file.write_bytes(json.dumps({**OTHER, "expires": time.time() - 1}).encode())


@pytest.fixture
def never_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is taken without conditions fails."""

    def sleep(seconds: float) -> None:
        raise AssertionError("without a condition")

    monkeypatch.setattr(Lease, "_take_and_look", sleep)


def test_an_object_is_written_only_over_what_was_seen(run: Remote) -> None:
    one, two = (ConditionalObject(run / "x") for _ in range(2))
    for each in (one, two):
        with pytest.raises(FileNotFoundError):
            each.read_text()
    one.write_bytes(b"1")
    with pytest.raises(ChangedError):
        two.write_bytes(b"2")
    assert two.read_text() == "1"
    two.write_bytes(b"2")
    two.write_bytes(b"3")
    with pytest.raises(ChangedError):
        one.write_bytes(b"4")
    (run / "x").unlink()
    with pytest.raises(ChangedError):
        two.write_bytes(b"5")
    assert not (run / "x").exists()


@pytest.mark.usefixtures("never_settles")
@pytest.mark.parametrize("expired", [False, True], ids=["free", "expired"])
def test_of_many_threads_one_has_the_lease(run: Remote, expired: bool) -> None:
    for number in range(3):
        file = run / str(number) / "lease.json"
        if expired:
            leave_expired(file)
        start = threading.Barrier(8)

        def take(_: int, file: Remote = file, start: threading.Barrier = start) -> Lease | str:
            start.wait()
            try:
                return Lease(file)
            except UserError as error:
                return str(error)

        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(take, range(8)))
        (holder,) = (one for one in taken if isinstance(one, Lease))
        assert all("is in use by process" in one for one in taken if isinstance(one, str))
        holder.require()
        holder.release()
        assert not file.exists()


CONTENDER = """
import sys
from search.ledger.lease import Lease
from search.ledger.storage import place
from trm.errors import UserError
held = []
for line in sys.stdin:
    if line == "ready?\\n":
        print("ready", flush=True)
        continue
    try:
        held.append(Lease(place(line.strip()) / "lease.json"))
        print("held", flush=True)
    except UserError as error:
        print(str(error).partition(": ")[2], flush=True)
"""


def test_of_many_processes_one_has_the_lease(uri: Callable[[str], str]) -> None:
    drivers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CONTENDER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip

    def ask(line: str) -> list[str]:
        for driver in drivers:
            assert driver.stdin is not None
            driver.stdin.write(f"{line}\n")
            driver.stdin.flush()
        return [driver.stdout.readline().strip() for driver in drivers if driver.stdout]

    try:
        assert ask("ready?") == ["ready"] * 4
        for number in range(8):
            where = place(uri(f"run-{number}"))
            assert isinstance(where, Remote)
            if number % 2:
                leave_expired(where / "lease.json")
            said = ask(str(where))
            assert said.count("held") == 1, said
            holder = read_holder(where / "lease.json")
            assert holder is not None
            assert holder.pid == drivers[said.index("held")].pid
            assert all(f"is in use by process {holder.pid}" in s for s in said if s != "held")
    finally:
        for driver in drivers:
            driver.kill()
            driver.communicate()


def test_who_hung_cannot_renew_what_another_took(run: Remote) -> None:
    file = run / "lease.json"
    lease = Lease(file)
    lease._confirm()  # and here it hangs, for longer than its lease goes on
    leave_expired(file)
    heir = Lease(file)
    for call in (lambda: lease._renew(30.0), lease.require, lease.check):
        with pytest.raises(LeaseLostError, match="taken over by process"):
            call()
    lease.release()
    heir.require()
    heir.release()


Put = Callable[[S3Response], Any]


def ignores(*names: str) -> Callable[[Put], Put]:
    def changed(put: Put) -> Put:
        def put_object(self: S3Response) -> Any:
            self.headers = Headers([pair for pair in self.headers.items() if pair[0] not in names])
            return put(self)

        return put_object

    return changed


def refuses(put: Put) -> Put:
    def put_object(self: S3Response) -> Any:
        if "If-Match" in self.headers or "If-None-Match" in self.headers:
            return 501, {}, "<Error><Code>NotImplemented</Code></Error>"
        return put(self)

    return put_object


def names_versions_anew(put: Put) -> Put:
    number = itertools.count()

    def put_object(self: S3Response) -> Any:
        status, headers, body = put(self)
        return status, {**headers, "ETag": f'"{next(number)}"'}, body

    return put_object


STORES = {
    "ignores both": (ignores("If-Match", "If-None-Match"), "the store ignores If-Match"),
    "ignores If-Match": (ignores("If-Match"), "the store ignores If-Match"),
    "ignores If-None-Match": (ignores("If-None-Match"), "the store ignores If-None-Match"),
    "refuses conditions": (refuses, "501 Not Implemented"),
    "names versions anew": (names_versions_anew, "the store takes no answer to what it gave"),
}


@pytest.mark.parametrize("expired", [False, True], ids=["free", "expired"])
@pytest.mark.parametrize("kind", STORES)
def test_on_a_store_without_conditions_it_is_taken_as_ever(
    kind: str, expired: bool, run: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, said = STORES[kind]
    monkeypatch.setattr(search.ledger.lease, "SETTLE", 0.05)
    monkeypatch.setattr(S3Response, "put_object", change(S3Response.put_object))
    file = run / "lease.json"
    if expired:
        leave_expired(file)
    with pytest.warns(LockWarning, match="without conditional writes") as warned:
        lease = Lease(file)
    (warning,) = warned
    assert said in str(warning.message)
    assert "\n" not in str(warning.message)
    lease._expires = 0.0
    lease.require()
    with pytest.raises(UserError, match="is in use by"):
        Lease(file)
    lease.release()
    assert not file.exists()


@pytest.mark.usefixtures("never_settles")
@pytest.mark.parametrize("which", range(5))
def test_an_answer_that_gets_lost_loses_no_lease(
    which: int, run: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = S3Response.put_object, itertools.count()

    def put_object(self: S3Response) -> Any:
        lost = next(calls) == which
        answer = put(self)
        return (500, {}, "") if lost else answer

    monkeypatch.setattr(S3Response, "put_object", put_object)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lease = Lease(run / "lease.json")
    lease._expires = 0.0
    lease.require()
    assert lease._expires > time.time()
    assert next(calls) > which
    lease.release()
    assert not (run / "lease.json").exists()


@pytest.mark.usefixtures("never_settles")
@pytest.mark.parametrize("name", ["with space", "a%20b", "größe", "a+b", "x=1&y", "[1]", "a~b"])
def test_both_libraries_mean_the_same_object(name: str, run: Remote) -> None:
    lease = Lease(run / name / "lease.json")
    assert read_holder(run / name / "lease.json") is not None
    lease.release()
    assert not (run / name / "lease.json").exists()


@pytest.mark.usefixtures("never_settles")
def test_the_endpoint_may_come_from_the_environment(
    uri: Callable[[str], str], s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = uri("run").partition("?")[0]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3_server}")
    where = place(f"{plain}?region=us-east-1")
    assert isinstance(where, Remote)
    Lease(where / "lease.json").release()
    # The URI's goes before the environment's.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    where = place(uri("run"))
    assert isinstance(where, Remote)
    Lease(where / "lease.json").release()


def test_another_endpoint_than_pyarrows_is_noticed(
    run: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.ledger.lease, "SETTLE", 0.0)
    lease = Lease(run / "lease.json")
    elsewhere = Remote(run.uri, run.query, f"{run.path}-b", run.filesystem)
    found = ConditionalObject(elsewhere / "lease.json")
    found.file = run / "other.json"
    found.write_bytes(b"1")
    with pytest.raises(OSError, match="obstore writes elsewhere than pyarrow"):
        found.prove(b"2")
    lease.release()


def test_keys_of_a_profile_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "credentials"
    keys.write_text(
        "[default]\naws_access_key_id = a%1\naws_secret_access_key = b\n"
        "[mine]\naws_access_key_id = c\naws_secret_access_key = d\naws_session_token = e\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
    assert _profile_keys() == {}
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert _profile_keys() == {"access_key_id": "a%1", "secret_access_key": "b"}
    monkeypatch.setenv("AWS_PROFILE", "mine")
    found = {"access_key_id": "c", "secret_access_key": "d", "session_token": "e"}
    assert _profile_keys() == found
    for name, text in (("absent", ""), ("mine", "no ini"), ("mine", "[mine]\n")):
        monkeypatch.setenv("AWS_PROFILE", name)
        keys.write_text(text)
        assert _profile_keys() == {}


@pytest.mark.parametrize(
    "uri", ["gs://anonymous@bucket/run", "abfss://box@account.dfs.core.windows.net/run"]
)
def test_other_clouds_have_an_object_too(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "bucket/run/x" if uri.startswith("gs") else "box/run/x"
    found = ConditionalObject(Remote(uri, "", path, None))
    assert found._key == "run/x"


@pytest.mark.parametrize("uri", ["hdfs://node/run", "gs://bucket/run"])
def test_what_obstore_cannot_use_is_said_in_a_line(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent"))
    with pytest.raises(OSError, match="obstore") as raised:
        ConditionalObject(Remote(uri, "", "bucket/run/x", None))
    assert "\n" not in str(raised.value)
