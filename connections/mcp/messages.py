"""JSON-RPC messages as they come back over Streamable HTTP: a JSON body, or one among the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from connections import egress
from connections.errors import MCPError

Message = dict[str, Any]


def read_result(response: egress.Response, request_id: int) -> Message:
    """Return the result of our request. Raises MCPError, with the code of the server's error where it sent one."""
    message = _find_message(response, request_id)
    if message is None:
        raise MCPError(f"{egress.describe(response.url)} answered {response.status}", status=response.status)
    error, result = message.get("error"), message.get("result")
    if isinstance(error, dict):
        code = error.get("code")
        raise MCPError(
            f"{egress.describe(response.url)} answered {response.status} with the MCP error {code}"[:300],
            status=response.status,
            rpc_code=code if isinstance(code, int) else None,
        )
    if not response.is_success or not isinstance(result, dict):
        raise MCPError(
            f"{egress.describe(response.url)} answered {response.status} without a result", status=response.status
        )
    return result


def has_answer(request_id: int) -> Callable[[bytes], bool]:
    """Return what tells whether enough was received: a stream need not end after our answer."""

    def is_complete(received: bytes) -> bool:
        if not received.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")):
            return False
        return any(message.get("id") == request_id for message in _read_events(received))

    return is_complete


def _find_message(response: egress.Response, request_id: int) -> Message | None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return next((message for message in _read_events(response.body) if message.get("id") == request_id), None)
    return _parse(response.body) if kind == "application/json" else None


def _read_events(received: bytes) -> Iterator[Message]:
    lines: list[str] = []
    for line in received.decode("utf-8", "replace").splitlines():
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif not line and lines:
            message = _parse("\n".join(lines))
            lines = []
            if message is not None:
                yield message


def _parse(text: str | bytes) -> Message | None:
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
