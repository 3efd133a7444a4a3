"""Errors as JSON-RPC says them, and the request to open a page (URL elicitation) as both eras say it."""

from __future__ import annotations

from typing import Any

from gateway.errors import ConnectionRequiredError, GatewayError
from gateway.facts import ConnectLink
from gateway.mcp.messages import RequestId

URL_ELICITATION_REQUIRED = -32042
# The key of our own entry among a result's inputRequests.
CONNECT_INPUT = "kontext_connect"


def make_error(request_id: RequestId | None, error: GatewayError, exchange_id: str) -> dict[str, Any]:
    data = {"code": error.code, "requestId": exchange_id, **error.get_details()}
    return _wrap(request_id, {"code": error.rpc_code, "message": str(error), "data": data})


def make_connect_error(
    request_id: RequestId | None, error: ConnectionRequiredError, link: ConnectLink, exchange_id: str
) -> dict[str, Any]:
    """Return the 2025-11-25 form: an error that names the page. Clients of 2026-07-28 understand it, too."""
    elicitation = {"mode": "url", "elicitationId": link.elicitation_id, "url": link.url, "message": str(error)}
    data = {"elicitations": [elicitation], "code": error.code, "requestId": exchange_id, "reason": error.reason}
    return _wrap(request_id, {"code": URL_ELICITATION_REQUIRED, "message": str(error), "data": data})


def make_connect_result(
    request_id: RequestId | None, error: ConnectionRequiredError, link: ConnectLink
) -> dict[str, Any]:
    """Return the 2026-07-28 form: a result that asks for input and is followed by the same request again."""
    params = {"mode": "url", "url": link.url, "message": str(error)}
    requests = {CONNECT_INPUT: {"method": "elicitation/create", "params": params}}
    result = {"resultType": "input_required", "inputRequests": requests}
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def make_tool_failure(request_id: RequestId | None, error: GatewayError, exchange_id: str) -> dict[str, Any]:
    """Return a tool's own failure, as servers say that they have no such tool: models get to read it."""
    about = {"code": error.code, "requestId": exchange_id, **error.get_details()}
    content = [{"type": "text", "text": str(error)}]
    result = {"content": content, "isError": True, "resultType": "complete", "_meta": {"kontext/error": about}}
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _wrap(request_id: RequestId | None, error: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": error}
