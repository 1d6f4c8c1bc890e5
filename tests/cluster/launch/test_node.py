"""A node of a job's own: its address, its arguments, and that its end takes nothing else along."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.launch.node import (
    VARIABLE,
    _beside_its_head,
    end,
    folder_of,
    free_port,
    main,
    own_address,
    ray_start,
)

MARK = f"test{os.getpid()}"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries the mark."""
    child = subprocess.Popen(["sleep", "60"], env={**os.environ, VARIABLE: MARK})
    yield child
    child.kill()
    child.wait()


def test_an_address_has_a_port_that_is_free(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["address", "no-such-machine.invalid"]) == 0
    host, _, port = capsys.readouterr().out.strip().rpartition(":")
    socket.inet_aton(host)
    with socket.socket() as probe:
        probe.bind(("", int(port)))
    assert own_address("localhost").rpartition(":")[2] != port


def test_a_worker_takes_no_word_of_a_head() -> None:
    head = ray_start("10.0.0.1:4000", Path("/tmp/x"), head=True, cpus=None, gpus=0)
    assert {"--head", "--port=4000", "--node-ip-address=10.0.0.1"} <= set(head)
    assert "--num-gpus=0" in head
    worker = ray_start("10.0.0.1:4000", Path("/tmp/x"), head=False, cpus=4, gpus=None)
    assert {"--address=10.0.0.1:4000", "--num-cpus=4"} <= set(worker)
    # Ray refuses this one, whatever its value, at a node that is no head.
    assert not [word for word in worker if "dashboard=" in word or "port=6379" in word]
    for words in (head, worker):
        assert "--temp-dir=/tmp/x/ray" in words
        # The default of 52365 may be another Ray's.
        assert not any(word.endswith("=52365") for word in words)


def test_sockets_have_room_in_the_longest_folder() -> None:
    session = "session_2026-11-29_16-11-04_686120_4194304/sockets/plasma_store"
    assert len(str(folder_of("4294967295") / "ray" / session)) < 107


def test_the_end_takes_what_is_marked_and_nothing_else(sleeper: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(["sleep", "60"], env={**os.environ, VARIABLE: f"{MARK}0"}) as other:
        folder_of(MARK).mkdir()
        (folder_of(MARK) / "file").touch()
        assert end(MARK) == 1
        assert sleeper.wait(5) == -signal.SIGKILL
        assert not folder_of(MARK).exists()
        assert other.poll() is None
        other.kill()
    assert end(MARK) == 0


def test_a_worker_ends_after_its_head() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        code = (
            "import subprocess, sys; from cluster.launch import node;"
            "node._REFUSALS = 1; child = subprocess.Popen(['sleep', '60']);"
            "print('up', flush=True);"
            "print(node._beside_its_head(child, sys.argv[1])); child.kill()"
        )
        worker = subprocess.Popen(
            [sys.executable, "-c", code, address], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "up\n"
        time.sleep(1.5)
        assert worker.poll() is None
    assert worker.communicate(timeout=20)[0] == "0\n"


def test_a_worker_that_fails_says_so() -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as child:
        assert _beside_its_head(child, f"127.0.0.1:{free_port()}") == 3


def test_nobody_at_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wait", f"127.0.0.1:{free_port()}", "2", "0.5"]) == 1
    assert capsys.readouterr().out == "trm: 0 of 2 nodes are up\n"


@pytest.mark.slow  # starts Ray twice, and another one beside it
def test_two_nodes_beside_another_ray() -> None:
    # Both on this machine, so with a mark each.
    address, head, worker = own_address(), f"{MARK}h", f"{MARK}w"
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "ab" * 32}
    words = [sys.executable, "-P", "-m", "cluster.launch.node"]
    other = own_address()
    started = []
    try:
        for at, mark, more in (
            (other, f"{MARK}o", ["--head", "--cpus", "1"]),
            (address, head, ["--head", "--cpus", "1"]),
            (address, worker, ["--cpus", "2"]),
        ):
            command = [*words, "start", at, mark, *more]
            started.append(subprocess.Popen(command, env=environment))
        done = subprocess.run(
            [*words, "wait", address, "2", "90"],
            env=environment, capture_output=True, text=True, timeout=150,
        )  # fmt: skip
        assert "trm: 2 of 2 nodes are up" in done.stdout
        # Without the right token nobody comes in, and one line says so.
        bare = {k: v for k, v in environment.items() if not k.startswith("RAY_AUTH")}
        bare["HOME"] = "/nonexistent"
        for given, words_of in (
            ({}, "the cluster asks for a token, and there is none here; "),
            ({"RAY_AUTH_MODE": "token"}, "the cluster asks for a token, and there is none here; "),
            ({"RAY_AUTH_TOKEN": "cd" * 32}, "asks for a token, and RAY_AUTH_TOKEN holds another"),
        ):
            refused = subprocess.run(
                [*words, "wait", address, "1", "60"],
                env={**bare, **given}, capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            assert refused.returncode == 2
            assert refused.stdout == ""
            assert refused.stderr.startswith(f"trm: error: --address {address}: ")
            assert words_of in refused.stderr
            assert refused.stderr.count("\n") == 1
        began = time.monotonic()
        started[1].terminate()
        assert started[1].wait(15) == 0
        assert started[2].wait(30) == 0
        assert time.monotonic() - began < 30
        assert started[0].poll() is None
        again = subprocess.run(
            [*words, "wait", other, "1", "30"],
            env=environment, capture_output=True, text=True, timeout=90,
        )  # fmt: skip
        assert "trm: 1 of 1 nodes are up" in again.stdout
    finally:
        for child in started:
            child.terminate()
            child.wait(20)
        for mark in (head, worker, f"{MARK}o"):
            assert end(mark) == 0, "everything had ended by itself"
