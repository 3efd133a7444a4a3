"""An integration whose every word a test can choose, and that remembers what it was told. No server is that bad.

What a proper server says is tested with proper ones; this is for the improper, and to see the bytes that arrive.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOOLS: list[dict[str, Any]] = [
    {
        "name": name,
        "description": f"Does {name}.",
        "inputSchema": {"type": "object", "properties": {"repo": {"type": "string"}}},
        "annotations": annotations,
    }
    for name, annotations in {
        "create_issue": {"readOnlyHint": False, "destructiveHint": False},
        "delete_repo": {"destructiveHint": True},
        "list_issues": {"readOnlyHint": True},
    }.items()
]


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body or b"{}")
        return document

    @property
    def rpc_method(self) -> str:
        return str(self.message.get("method", ""))


@dataclass
class Reply:
    """What to answer. `events` are sent one by one as they are yielded, and the connection then closed."""

    document: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str = "application/json"


Answer = Callable[[Seen, "Handler"], Reply | None]


class ScriptedIntegration(ThreadingHTTPServer):
    """Answers as `script` says, else as a small proper server of both eras. `key` is the credential it wants."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[Seen] = []
        self.key = "key-of-alice"
        self.tools: list[dict[str, Any]] = [dict(tool) for tool in TOOLS]
        self.script: Answer | None = None
        self.disconnected = threading.Event()
        self.connections = 0

    def process_request(self, *args: Any) -> None:
        self.connections += 1
        super().process_request(*args)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/mcp"

    def calls(self, method: str = "tools/call") -> list[Seen]:
        return [seen for seen in self.seen if seen.rpc_method == method]

    def forget(self) -> None:
        self.seen.clear()
        self.script = None
        self.disconnected.clear()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedIntegration

    def do_POST(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.command, {name.lower(): value for name, value in self.headers.items()}, body)
        self.server.seen.append(seen)
        reply = self.server.script(seen, self) if self.server.script else self.propose(seen)
        if reply is not None:
            self.send(reply)

    def propose(self, seen: Seen) -> Reply:
        """Return what a proper server would answer."""
        if seen.headers.get("authorization") != f"Bearer {self.server.key}":
            return Reply({"error": "invalid_token"}, 401, {"WWW-Authenticate": "Bearer"})
        if seen.method != "POST":
            return Reply(status=405 if seen.method == "GET" else 200, document={})
        if "id" not in seen.message:
            return Reply(status=202, raw=b"")
        result = {"resultType": "complete", **self._get_result(seen)}
        headers = {"Mcp-Session-Id": "upstream-session"} if seen.rpc_method == "initialize" else {}
        return Reply({"jsonrpc": "2.0", "id": seen.message["id"], "result": result}, headers=headers)

    def _get_result(self, seen: Seen) -> dict[str, Any]:
        params = seen.message.get("params", {})
        cacheable = {"ttlMs": 1000, "cacheScope": "public"}
        match seen.rpc_method:
            case "tools/list":
                return {"tools": self.server.tools, **cacheable}
            case "tools/call":
                return {"content": [{"type": "text", "text": json.dumps(params.get("arguments"))}]}
            case "initialize":
                server = {"capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "1"}}
                return {"protocolVersion": params["protocolVersion"], **server}
            case "server/discover":
                server = {"capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "1"}}
                return {"supportedVersions": ["2026-07-28"], **server, **cacheable}
        return {}

    def send(self, reply: Reply) -> None:
        body = json.dumps(reply.document).encode() if reply.raw is None else reply.raw
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def open_stream(self, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def send_event(self, document: Any, identifier: str = "") -> None:
        lines = f"id: {identifier}\n" if identifier else ""
        self.wfile.write(f"{lines}event: message\ndata: {json.dumps(document)}\n\n".encode())
        self.wfile.flush()

    def wait_for_disconnect(self, seconds: float = 10) -> None:
        """Notice the moment at which the other side closes the connection."""
        self.connection.settimeout(seconds)
        try:
            if self.connection.recv(1) == b"":
                self.server.disconnected.set()
        except OSError:
            self.server.disconnected.set()
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        return None


def wait_until(condition: Callable[[], object], *, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
