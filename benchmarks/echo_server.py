"""The integration of the benchmark: an MCP tool server with one tool, `echo`, that costs next to nothing.

    python -m benchmarks.echo_server PORT KEY

Bare asyncio, so that what is measured is what stands in front of it. It answers tools/call, tools/list and what a
client says to introduce itself, in both eras, and refuses requests without the key.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import orjson
import uvloop

TOOL = {
    "name": "echo",
    "description": "Return the text that it is given.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "annotations": {"readOnlyHint": True},
}


class Echo(asyncio.Protocol):
    key = b""
    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none, but behave as such

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            size = _get_length(head)
            if len(self._received) < end + 4 + size:
                return
            body, self._received = self._received[end + 4 : end + 4 + size], self._received[end + 4 + size :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if b"authorization: bearer " + self.key not in head:
            self._send(b"401 Unauthorized", b"{}")
            return
        message = orjson.loads(body)
        if "id" not in message:
            self._send(b"202 Accepted", b"")
            return
        document = {"jsonrpc": "2.0", "id": message["id"], "result": _get_result(message)}
        self._send(b"200 OK", orjson.dumps(document))

    def _send(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        self._transport.write(head + body)


def _get_length(head: bytes) -> int:
    _, found, rest = head.partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _get_result(message: dict[str, Any]) -> dict[str, Any]:
    method, params = message["method"], message.get("params", {})
    if method == "tools/call":
        text = params["arguments"]["text"]
        return {"resultType": "complete", "content": [{"type": "text", "text": text}]}
    if method == "tools/list":
        return {"resultType": "complete", "tools": [TOOL], "ttlMs": 0, "cacheScope": "public"}
    server = {"capabilities": {"tools": {}}, "serverInfo": {"name": "echo", "version": "1"}}
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], **server}
    return {"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "public", **server}


async def main(port: int, key: str) -> None:
    Echo.key = key.lower().encode()
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
