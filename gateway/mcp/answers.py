"""Errors as JSON-RPC says them, and the request to open a page (URL elicitation) as both eras say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import ApprovalRequiredError, ConnectionRequiredError, GatewayError
from gateway.facts import ConnectLink
from gateway.mcp.messages import RequestId

URL_ELICITATION_REQUIRED = -32042
# The keys of our own entries among a result's inputRequests; approvals have one for each layer that asks.
CONNECT_INPUT = "kontext_connect"
APPROVAL_INPUT = "kontext_approval"


def make_error(request_id: RequestId | None, error: GatewayError, exchange_id: str) -> dict[str, Any]:
    data = {"code": error.code, "requestId": exchange_id, **error.get_details()}
    return _wrap(request_id, {"code": error.rpc_code, "message": str(error), "data": data})


def make_connect_error(
    request_id: RequestId | None, error: ConnectionRequiredError, link: ConnectLink, exchange_id: str
) -> dict[str, Any]:
    """Return the 2025-11-25 form: an error that names the page. Clients of 2026-07-28 understand it, too."""
    elicitation = _make_elicitation(error, link.url, link.elicitation_id)
    data = {"elicitations": [elicitation], "code": error.code, "requestId": exchange_id, "reason": error.reason}
    return _wrap(request_id, {"code": URL_ELICITATION_REQUIRED, "message": str(error), "data": data})


def make_connect_result(
    request_id: RequestId | None, error: ConnectionRequiredError, link: ConnectLink
) -> dict[str, Any]:
    """Return the 2026-07-28 form: a result that asks for input and is followed by the same request again."""
    return _ask_for_input(request_id, {CONNECT_INPUT: (str(error), link.url)})


def make_approval_error(request_id: RequestId | None, error: ApprovalRequiredError, exchange_id: str) -> dict[str, Any]:
    """Return the 2025-11-25 form, with a page for each layer that asks."""
    document = make_error(request_id, error, exchange_id)
    document["error"]["code"] = URL_ELICITATION_REQUIRED
    elicitations = [_make_elicitation(error, page.url, page.id) for page in error.pages]
    document["error"]["data"]["elicitations"] = elicitations
    return document


def make_approval_result(request_id: RequestId | None, error: ApprovalRequiredError) -> dict[str, Any]:
    """Return the 2026-07-28 form. The codes are in the message: people compare them with those on the pages."""
    return _ask_for_input(
        request_id, {f"{APPROVAL_INPUT}_{page.layer}": (str(error), page.url) for page in error.pages}
    )


def make_tool_failure(request_id: RequestId | None, error: GatewayError, exchange_id: str) -> dict[str, Any]:
    """Return a tool's own failure, as servers say that they have no such tool: models get to read it."""
    about = {"code": error.code, "requestId": exchange_id, **error.get_details()}
    content = [{"type": "text", "text": str(error)}]
    result = {"content": content, "isError": True, "resultType": "complete", "_meta": {"kontext/error": about}}
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _make_elicitation(error: GatewayError, url: str, elicitation_id: str) -> dict[str, str]:
    return {"mode": "url", "elicitationId": elicitation_id, "url": url, "message": str(error)}


def _ask_for_input(request_id: RequestId | None, pages: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    requests = {
        key: {"method": "elicitation/create", "params": {"mode": "url", "url": url, "message": message}}
        for key, (message, url) in pages.items()
    }
    result = {"resultType": "input_required", "inputRequests": requests}
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _wrap(request_id: RequestId | None, error: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": error}
