"""The live page over real HTTP: what is answered, to whom, and what is not."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from search.cli import main
from search.report.live.server import live_server
from tests.search.report.live.serving import listens_on, served
from tests.support.reported import made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("live") / "run", 6, result=False)


@pytest.fixture(scope="module")
def port(run: Path) -> Iterator[int]:
    with served(run) as url:
        yield int(urlsplit(url).port or 0)


def ask(
    port: int, path: str, host: str | None = "127.0.0.1", method: str = "GET"
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    found = connection.getresponse()
    text = found.read().decode()
    connection.close()
    return found.status, dict(found.getheaders()), text


def test_the_page_and_its_changes(port: int) -> None:
    status, headers, html = ask(port, "/")
    assert status == 200
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    news = json.loads(ask(port, "/changes?since=0")[2])
    assert f'data-version="{news["version"]}"' in html
    assert "<script" not in news["frame"]
    assert "curves" in news["figures"]
    assert json.loads(news["figures"].pop("trials"))["trials"]
    assert json.loads(news["figures"].pop("trial-curve"))["layout"]
    for text in news["figures"].values():
        assert json.loads(text)["data"]
    again = json.loads(ask(port, f"/changes?since={news['version']}")[2])
    assert (again["frame"], again["figures"]) == (None, {})
    assert again["says"].startswith("no driver is at work")
    assert ask(port, "/", method="HEAD")[2] == ""


def test_a_trials_log_and_config(port: int) -> None:
    status, headers, text = ask(port, "/trials/3/log")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert text.startswith("trial 3: explore, candidate 3")
    config = ask(port, "/trials/3/config")[2]
    assert "trm export run --trial 3" in config
    assert "halt_weight" in config


@pytest.mark.parametrize(
    "path",
    [
        "/run.json", "/../run.json", "/trials/../../run.json", "/trials/3/../../run.json",
        "/trials/%2e%2e/log", "/trials/3/log/../../../run.json", "/trials/3/log%00", "//etc/passwd",
        "/trials/-1/log", "/trials/3/sweep.yaml", "/trials/0003000/log", "/trials/99999999999/log",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file(port: int, path: str) -> None:
    status, _, text = ask(port, path)
    assert status == 404
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200), ("localhost:9000", 200), ("LOCALHOST", 200), ("[::1]:80", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1.evil.example", 421),
        ("evil.example:8080", 421), ("", 421), (None, 421), ("127.0.0.1 evil.example", 421),
    ],
)  # fmt: skip
def test_a_name_of_somebody_elses_is_not_answered(port: int, host: str | None, status: int) -> None:
    for path in ("/changes?since=0", "/trials/3/log"):
        found, _, text = ask(port, path, host)
        assert found == status
        assert ("answers to localhost" in text) is (status == 421)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(run: Path, port: int, method: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert ask(port, "/trials/3/config", method=method)[0] == 501
    ask(port, "/")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's table of sockets")
def test_only_this_machine_is_listened_to(port: int) -> None:
    assert listens_on(port) == {"127.0.0.1"}


def test_a_viewer_who_says_nothing_holds_up_nobody(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(
        ("127.0.0.1", port)
    ) as half:  # fmt: skip
        half.sendall(b"GET / HTTP/1.0\r\nHo")
        assert ask(port, "/changes?since=0")[0] == 200


def test_the_command_says_where_and_ends_with_ctrl_c(run: Path) -> None:
    trm = str(Path(sys.executable).with_name("trm"))
    with subprocess.Popen(
        [trm, "report", str(run), "--live", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        assert ask(int(urlsplit(url).port or 0), "/")[0] == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_what_cannot_be_shown_is_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        assert main(["report", "--live", *words]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        return printed.err

    assert "holds no sweep" in refused(str(tmp_path))
    with live_server(run, 0) as other:
        taken = refused(str(run), "--port", str(other.server_port))
    assert f"--port: {other.server_port} cannot be listened on (Address already in use)" in taken
    assert "choose another port" in taken
    assert "choose another port" in refused(str(run), "--port", "99999")
    assert "writes no page: leave --images out" in refused(str(run), "--images", "x")
    assert "ssh -L" in refused(str(run), "--host", "0.0.0.0")
    assert "not allowed with argument --live" in refused(str(run), "--dashboard")
