"""Stage 6. The call itself: to the integration with its own credential, and back as it comes."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import (
    ConnectionRequiredError,
    GatewayError,
    IntegrationAnswerError,
    IntegrationUnreachableError,
    SessionExpiredError,
)
from gateway.http import EVENT_STREAM, JSON
from gateway.mcp.answers import make_error
from gateway.mcp.envelopes import bind
from gateway.mcp.eras import Era
from gateway.mcp.sse import Event, EventReader
from gateway.pipeline.call import Call
from gateway.pipeline.credential import renew_credential
from gateway.pipeline.outcome import ERROR_REMOTE, judge_error, record_answer, record_outcome
from gateway.pipeline.results import rewrite_replayed, rewrite_response
from gateway.service import Gateway
from gateway.upstream import Answer

SESSION_HEADER = "mcp-session-id"
# Statuses that mean something to an MCP client when a JSON-RPC error comes with them. All others become 502.
_PASSED_STATUSES = frozenset({200, 400, 404, 406, 413, 415, 422, 429})


async def forward(call: Call, gateway: Gateway) -> None:
    """Send the message, and answer the client with what comes back."""
    answer = await _send(call, gateway, "POST", call.message.raw)
    try:
        if answer.content_type == EVENT_STREAM and answer.status == 200:
            await _relay_stream(call, gateway, answer)
        elif call.message.is_request:
            await _relay_document(call, gateway, answer)
        else:
            await _relay_receipt(call, answer)
    finally:
        answer.close()


async def forward_stream(call: Call, gateway: Gateway) -> None:
    """Open the older revisions' stream for what a server says unasked (GET)."""
    answer = await _send(call, gateway, "GET", None)
    try:
        if answer.content_type != EVENT_STREAM or answer.status != 200:
            raise _describe_failure(call, answer)
        stream = call.exchange.open_stream(_session_headers(call, gateway, answer))
        reader = EventReader()
        async for chunk in answer.stream():
            for event in reader.feed(chunk):
                document = _parse(event.data) if event.data else None
                if document is not None and "method" not in document:
                    event.data = rewrite_replayed(call.caller, gateway, document) or event.data
                await stream.send_bytes(event.encode())
    finally:
        answer.close()


async def forward_end(call: Call, gateway: Gateway) -> None:
    """End a session of the older revisions (DELETE)."""
    answer = await _send(call, gateway, "DELETE", None)
    try:
        await _relay_receipt(call, answer)
    finally:
        answer.close()


async def _send(call: Call, gateway: Gateway, method: str, body: bytes | None) -> Answer:
    """Send, and once more with a renewed credential where the integration refuses the first one."""
    is_stream = method == "GET" or (call.method is not None and call.method.is_stream)
    url = call.caller.integration.url
    answer = await gateway.upstream.send(method, url, _make_headers(call), body, is_stream=is_stream)
    if answer.status != 401:
        return answer
    answer.close()
    if await renew_credential(call, gateway):
        answer = await gateway.upstream.send(method, url, _make_headers(call), body, is_stream=is_stream)
        if answer.status != 401:
            return answer
        answer.close()
    raise ConnectionRequiredError("the integration refuses the credential of this connection", reason="refused")


def _make_headers(call: Call) -> dict[str, str]:
    """Return the headers for the integration: those named here, and no others. The inbound token is not among them."""
    given = call.exchange.headers
    headers = {
        "user-agent": "Kontext",
        "accept-encoding": "identity",
        "accept": given.get("accept", f"{JSON}, {EVENT_STREAM}"),
    }
    if call.exchange.method == "POST":
        headers["content-type"] = JSON
    for name in ("mcp-protocol-version", "traceparent", "tracestate"):
        if name in given:
            headers[name] = given[name]
    if call.era is Era.MODERN:
        for name in given:
            if name in _MODERN or name.startswith("mcp-param-"):
                headers[name] = given[name]
    elif call.upstream_session is not None:
        headers[SESSION_HEADER] = call.upstream_session
    if call.exchange.method == "GET" and "last-event-id" in given:
        headers["last-event-id"] = given["last-event-id"]
    assert call.injection is not None
    headers.update(call.injection.headers)
    return headers


_MODERN = frozenset({"mcp-method", "mcp-name"})


async def _relay_document(call: Call, gateway: Gateway, answer: Answer) -> None:
    body = await answer.read()
    document = _parse(body) if answer.content_type == JSON else None
    if document is None or not _is_response(document):
        raise _describe_failure(call, answer)
    body = _check_response(call, document, answer.status) or body
    body = rewrite_response(call, gateway, document) or body
    await record_answer(call, gateway, document)
    status = answer.status if answer.status in _PASSED_STATUSES else 502
    call.exchange.answer(status, body, headers=_session_headers(call, gateway, answer))


async def _relay_receipt(call: Call, answer: Answer) -> None:
    """Pass on that a notification or a response was taken, or why it wasn't."""
    if answer.status >= 300:
        raise _describe_failure(call, answer)
    call.exchange.answer_empty(answer.status)


async def _relay_stream(call: Call, gateway: Gateway, answer: Answer) -> None:
    """Pass events on as they come. The one with the response ends the stream, once its outcome is durable."""
    stream = call.exchange.open_stream(_session_headers(call, gateway, answer))
    reader = EventReader()
    is_resumable = False
    try:
        async for chunk in answer.stream():
            for event in reader.feed(chunk):
                document = _parse(event.data) if event.data else None
                is_resumable = is_resumable or event.id is not None
                if document is None or not _is_response(document):
                    await stream.send_bytes(event.encode())
                    continue
                event.data = _check_response(call, document, answer.status) or event.data
                event.data = rewrite_response(call, gateway, document) or event.data
                await record_answer(call, gateway, document)
                await stream.send_bytes(event.encode())
                return
        if call.message.is_request and not is_resumable:
            raise IntegrationAnswerError("the integration ended its stream without an answer")
        await record_outcome(call, gateway, ERROR_REMOTE, {"reason": "stream ended before the answer"})
    except GatewayError as error:
        # The status is out already: the error goes where the answer would have.
        await record_outcome(call, gateway, judge_error(error))
        data = orjson.dumps(make_error(call.message.id, error, call.exchange.request_id))
        await stream.send_bytes(Event(data=data, event=b"message").encode())


def _parse(data: bytes | None) -> dict[str, Any] | None:
    try:
        document = orjson.loads(data or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _is_response(document: dict[str, Any]) -> bool:
    # An error object, too: {"error": "not_found"} is what servers answer that speak something else.
    is_answer = isinstance(document.get("result"), dict) != isinstance(document.get("error"), dict)
    return document.get("jsonrpc") == "2.0" and "method" not in document and is_answer


def _check_response(call: Call, document: dict[str, Any], status: int) -> bytes | None:
    """Make sure that this answers our request and no other; errors from before the id was read get it now."""
    answered, asked = document.get("id"), call.message.id
    if answered == asked and type(answered) is type(asked):
        return None
    if "error" in document and (answered is None or status >= 400):
        document["id"] = asked
        return orjson.dumps(document)
    raise IntegrationAnswerError("the integration answered another request than the one it was sent")


def _describe_failure(call: Call, answer: Answer) -> GatewayError:
    if answer.status == 404 and call.upstream_session is not None:
        return SessionExpiredError("this session has ended at the integration: initialize a new one")
    if answer.status >= 500:
        return IntegrationUnreachableError(f"the integration failed (HTTP {answer.status})")
    return IntegrationAnswerError(f"the integration answered HTTP {answer.status} without a message that MCP knows")


def _session_headers(call: Call, gateway: Gateway, answer: Answer) -> dict[str, str] | None:
    """Return the session header for the client: the integration's own identifier never leaves unsealed."""
    if call.era is Era.MODERN:
        return None
    upstream = answer.get_header(SESSION_HEADER)
    if upstream is None:
        return None
    if upstream == call.upstream_session:
        return {SESSION_HEADER: call.session}
    binding = bind(call.caller.principal, call.caller.integration)
    return {SESSION_HEADER: gateway.envelopes.seal("session", binding, upstream)}
