"""Ask an MCP server for its tools, in whichever of the two eras it lives.

2026-07-28 is stateless: each request says its version and client. Before that, `initialize` begins a session.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from connections import egress
from connections.errors import EgressError, MCPError
from connections.mcp.messages import Message, has_answer, read_result

MODERN_VERSION = "2026-07-28"
LEGACY_VERSION = "2025-11-25"
_LEGACY_VERSIONS = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", LEGACY_VERSION})
_CLIENT = {"name": "kontext", "title": "Kontext", "version": "1"}
_LIMITS = egress.Limits(seconds=15, body_bytes=4 * 1024 * 1024)
_MAX_PAGES = 50
_MAX_TOOLS = 2000
_MAX_DEFINITION_BYTES = 256 * 1024


def list_tools(url: str, *, headers: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the definitions of all tools, as the server gives them, each name once.

    What could not be stored or called anyway (no usable name, no object as schema) is left out. Raises EgressError when
    the server can't be reached, MCPError when it refuses or answers something else.
    """
    try:
        found = _list_all(_Modern(url, headers))
    except MCPError as error:
        if error.status in (401, 403):
            raise
        # Anything but an answer is no evidence of the newer era: go by the older one, as the specification's own
        # client does.
        with _Legacy(url, headers) as session:
            found = _list_all(session)
    return [tool for tool in found.values() if _is_usable(tool)]


class _Modern:
    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url, self._headers = url, headers

    def ask(self, method: str, parameters: dict[str, Any], request_id: int) -> Message:
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
            "io.modelcontextprotocol/clientInfo": _CLIENT,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers = {**self._headers, "MCP-Protocol-Version": MODERN_VERSION, "Mcp-Method": method}
        return _send(self._url, headers, method, {**parameters, "_meta": meta}, request_id)


class _Legacy:
    """A session from `initialize` until it is deleted."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url, self._headers = url, dict(headers)

    def __enter__(self) -> _Legacy:
        hello = {"protocolVersion": LEGACY_VERSION, "capabilities": {}, "clientInfo": _CLIENT}
        response = _post(self._url, self._headers, _write("initialize", hello, 0), 0)
        version = read_result(response, 0).get("protocolVersion")
        if version not in _LEGACY_VERSIONS:
            raise MCPError(f"{egress.describe(self._url)} speaks a version of MCP that Kontext doesn't")
        self._headers["MCP-Protocol-Version"] = str(version)
        if session_id := response.headers.get("Mcp-Session-Id"):
            self._headers["Mcp-Session-Id"] = session_id
        _post(self._url, self._headers, {"jsonrpc": "2.0", "method": "notifications/initialized"}, -1)
        return self

    def __exit__(self, *_error: object) -> None:
        if "Mcp-Session-Id" in self._headers:
            with contextlib.suppress(EgressError):  # a server need not let clients end sessions
                egress.request("DELETE", self._url, headers=self._headers, limits=_LIMITS)

    def ask(self, method: str, parameters: dict[str, Any], request_id: int) -> Message:
        return _send(self._url, self._headers, method, parameters, request_id)


def _list_all(server: _Modern | _Legacy) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    cursor = ""
    for page in range(1, _MAX_PAGES + 1):
        result = server.ask("tools/list", {"cursor": cursor} if cursor else {}, page)
        tools = result.get("tools")
        if not isinstance(tools, list):
            raise MCPError("the integration listed its tools without a list of tools")
        for tool in tools:
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                found.setdefault(tool["name"], tool)
        if len(found) > _MAX_TOOLS:
            raise MCPError(f"the integration has more than {_MAX_TOOLS} tools")
        cursor = result.get("nextCursor") or ""
        if not isinstance(cursor, str) or not cursor:
            return found
    raise MCPError(f"the integration's list of tools has more than {_MAX_PAGES} pages")


def _is_usable(tool: dict[str, Any]) -> bool:
    name = tool["name"]
    if not 0 < len(name) <= 255 or not name.isprintable() or not isinstance(tool.get("inputSchema", {}), dict):
        return False
    try:
        written = json.dumps(tool, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # half a surrogate pair, a number beyond all bounds
        return False
    # PostgreSQL's jsonb has no NUL.
    return len(written) <= _MAX_DEFINITION_BYTES and b"\\u0000" not in written


def _send(url: str, headers: Mapping[str, str], method: str, parameters: dict[str, Any], request_id: int) -> Message:
    return read_result(_post(url, headers, _write(method, parameters, request_id), request_id), request_id)


def _write(method: str, parameters: dict[str, Any], request_id: int) -> Message:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": parameters}


def _post(url: str, headers: Mapping[str, str], message: Message, request_id: int) -> egress.Response:
    accepted = {"Accept": "application/json, text/event-stream", **headers}
    return egress.post_json(url, message, headers=accepted, limits=_LIMITS, is_complete=has_answer(request_id))
