"""A W&B server as small as `wandb sync` and `wandb.init` accept, in a thread; and a file reader.

It answers the queries that begin, resume and end a run, and keeps what is streamed to it.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

KEY = "0123456789" * 4
_BLOCK = 32768


@dataclass
class StoredRun:
    about: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    preempting: bool = False

    @property
    def config(self) -> dict[str, Any]:
        tree = json.loads(self.about["config"])
        return {key: entry["value"] for key, entry in tree.items() if key != "_wandb"}

    @property
    def steps(self) -> list[int]:
        return [row["_step"] for row in self.history]


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are no trouble."""


class WandbServer:
    def __init__(self) -> None:
        self.runs: dict[str, StoredRun] = {}
        self.http = _Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "p", "name": given.get("project"), "entity": {"id": "e", "name": "me"}}
        if query == "UpsertBucket":
            run = self.runs.setdefault(given["name"], StoredRun())
            run.about |= {key: value for key, value in given.items() if value is not None}
            bucket = {
                "id": "r", "name": given["name"], "displayName": given.get("displayName"),
                "description": None, "config": given.get("config"), "sweepName": None,
                "project": project, "historyLineCount": len(run.history),
            }  # fmt: skip
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if query == "RunResumeStatus":
            known = self.runs.get(given["name"])
            bucket = known and {
                "id": "r", "name": given["name"], "summaryMetrics": json.dumps(known.summary),
                "displayName": known.about["displayName"], "logLineCount": 0,
                "historyLineCount": len(known.history), "eventsLineCount": 0,
                "historyTail": json.dumps([json.dumps(row) for row in known.history[-1:]]),
                "eventsTail": "[]", "config": known.about["config"], "tags": None, "notes": None,
                "wandbConfig": json.dumps({"t": 1}),
            }  # fmt: skip
            return {"model": {**project, "bucket": bucket or None}}
        if query == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if query == "Viewer":
            viewer = {"id": "u", "entity": "me", "username": "me", "flags": "{}"}
            return {"viewer": {**viewer, "teams": {"edges": []}}}
        return {}

    def stream(self, run: StoredRun, content: dict[str, Any]) -> None:
        files = content.get("files", {})
        if part := files.get("wandb-history.jsonl"):
            begin = part["offset"]
            rows = [json.loads(line) for line in part["content"]]
            run.history[begin : begin + len(rows)] = rows
        if part := files.get("wandb-summary.json"):
            run.summary = json.loads(part["content"][-1])
        if content.get("complete"):
            run.exit_code = content["exitcode"]
        run.preempting = content.get("preempting", run.preempting)


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    server = WandbServer()
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def read_run(folder: Path) -> list[Record]:
    """The records of an offline run's `.wandb` file, which is a LevelDB log after 7 bytes."""
    (path,) = folder.glob("*.wandb")
    data, place, records, parts = path.read_bytes(), 7, [], b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        if _BLOCK - place % _BLOCK < 7:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(Record.FromString(parts))
            parts = b""
    return records


def history(records: list[Record]) -> list[dict[str, Any]]:
    """The logged rows of a run."""
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item}
        for row in (record.history for record in records if record.HasField("history"))
    ]


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            result: dict[str, Any] = {}
            if self.path.endswith("/graphql"):
                asked = json.loads(body)
                given = asked.get("variables") or {}
                result = {"data": server.answer(asked.get("operationName") or "", given)}
            elif self.path.endswith("/file_stream"):
                server.stream(server.runs[self.path.split("/")[-2]], json.loads(body))
            text = json.dumps(result).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = answer

    return Handler
