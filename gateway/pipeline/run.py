"""The order of the stages. Each raises a GatewayError to stop a call; here that becomes an answer and an event."""

from __future__ import annotations

from gateway.errors import (
    ApprovalRequiredError,
    CapabilityUnavailableError,
    ConnectionRequiredError,
    DelegationPausedError,
    GatewayError,
    MalformedMessageError,
    NotAllowedMethodError,
    NotFoundError,
    PolicyDeniedError,
    SessionExpiredError,
)
from gateway.http import Exchange
from gateway.mcp.answers import (
    make_approval_error,
    make_approval_result,
    make_connect_error,
    make_connect_result,
    make_error,
    make_tool_failure,
)
from gateway.mcp.envelopes import bind
from gateway.mcp.eras import Era, get_era, has_client_capability
from gateway.mcp.messages import MAX_BODY_BYTES, Message, RequestId, parse_message
from gateway.pipeline.admit import admit_message, check_content_type, check_subjects
from gateway.pipeline.approve import obtain_approval
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.call import Call, Caller
from gateway.pipeline.credential import find_connect_link, obtain_credential
from gateway.pipeline.decide import decide
from gateway.pipeline.forward import SESSION_HEADER, forward, forward_end, forward_stream
from gateway.pipeline.hangup import run_until_hangup
from gateway.pipeline.intent import record_intent, record_refusal
from gateway.pipeline.limit import take_limits
from gateway.pipeline.outcome import CANCELLED, DENIED, ERROR_AUTH, ERROR_PROXY, judge_error, record_outcome
from gateway.pipeline.pause import make_paused_error, refuse_paused
from gateway.pipeline.results import open_state, take_own_answers
from gateway.pipeline.route import find_route
from gateway.service import Gateway


async def serve(exchange: Exchange, gateway: Gateway, slug: str | None) -> None:
    """Serve one request to an integration's endpoint. Without a slug there is none, for anybody."""
    principal, snapshot = await authenticate(exchange, gateway, slug)
    if slug is None:
        raise NotFoundError("each integration has an endpoint of its own, /mcp/<integration>; this one has none")
    caller = find_route(principal, snapshot, slug, exchange.source_address)
    if exchange.method == "POST":
        await _serve_message(exchange, gateway, caller)
    elif exchange.method in ("GET", "DELETE"):
        await _serve_session(exchange, gateway, caller)
    else:
        raise NotAllowedMethodError("use POST to send a message", allowed="POST, GET, DELETE")


async def _serve_message(exchange: Exchange, gateway: Gateway, caller: Caller) -> None:
    check_content_type(exchange)
    request_id: RequestId | None = None
    try:
        message = parse_message(await exchange.read_body(MAX_BODY_BYTES))
        request_id = message.id
        era = get_era(exchange.headers.get("mcp-protocol-version"), message)
        method = admit_message(exchange, message, era)
        if era is Era.MODERN and method is None:
            exchange.answer_empty(202)  # nothing that a stateless server could do with a notification
            return
        await _run(Call(exchange=exchange, caller=caller, message=message, era=era, method=method), gateway)
    except MalformedMessageError as error:
        _answer_error(exchange, error.request_id, error)
    except GatewayError as error:
        _answer_error(exchange, request_id, error)


async def _serve_session(exchange: Exchange, gateway: Gateway, caller: Caller) -> None:
    """Serve what only older revisions have: the stream for what a server says unasked, and the end of a session."""
    if get_era(exchange.headers.get("mcp-protocol-version"), None) is Era.MODERN:
        raise NotAllowedMethodError("2026-07-28 has only POST", allowed="POST")
    if caller.principal.is_paused:
        raise make_paused_error(caller.principal, gateway)
    nothing = Message({}, b"", None, None, {})
    call = Call(exchange=exchange, caller=caller, message=nothing, era=Era.LEGACY, method=None)
    _open_session(call, gateway)
    await obtain_credential(call, gateway)
    await run_until_hangup(exchange, (forward_stream if exchange.method == "GET" else forward_end)(call, gateway))


async def _run(call: Call, gateway: Gateway) -> None:
    try:
        await _prepare(call, gateway)
        if not await run_until_hangup(call.exchange, forward(call, gateway)):
            await record_outcome(call, gateway, CANCELLED)
    except ConnectionRequiredError as error:
        await record_outcome(call, gateway, ERROR_AUTH)
        await _answer_connect(call, gateway, error)
    except ApprovalRequiredError as error:
        _answer_approval(call, error)
    except DelegationPausedError as error:
        call.exchange.answer_json(200, make_error(call.message.id, error, call.exchange.request_id))
    except GatewayError as error:
        await record_outcome(call, gateway, judge_error(error))
        raise
    except Exception:
        await record_outcome(call, gateway, ERROR_PROXY)
        raise


async def _prepare(call: Call, gateway: Gateway) -> None:
    """Do all that comes before the integration hears of it, up to and with the event that says so."""
    if call.era is Era.LEGACY:
        _open_session(call, gateway)
    if call.caller.principal.is_paused:
        await refuse_paused(call, gateway)
    if not call.is_invocation:
        check_subjects(call.caller, call.message)
        await obtain_credential(call, gateway)
        return
    try:
        decide(call, gateway)
        open_state(call, gateway)
        take_own_answers(call)
        await obtain_credential(call, gateway)
        if call.decision is None or not call.decision.is_allowed:
            # As late as can be: an approval for one call is not used up by one that gets no further.
            await obtain_approval(call, gateway)
        if call.decision is not None and call.decision.limits:
            # After that: waiting for an approval, and asking again, uses up no limit.
            await take_limits(call, gateway)
    except (PolicyDeniedError, CapabilityUnavailableError) as error:
        await record_refusal(call, gateway, outcome=DENIED, error=error)
        raise
    except GatewayError as error:
        await record_refusal(call, gateway, outcome=ERROR_AUTH, error=error)
        raise
    await record_intent(call, gateway)


def _open_session(call: Call, gateway: Gateway) -> None:
    call.session = call.exchange.headers.get(SESSION_HEADER, "")
    if not call.session or call.message.method == "initialize":
        return
    binding = bind(call.caller.principal, call.caller.integration)
    call.upstream_session = gateway.envelopes.open("session", binding, call.session)
    if call.upstream_session is None:
        raise SessionExpiredError("this session is not one of this application and person here: initialize a new one")


def _answer_error(exchange: Exchange, request_id: RequestId | None, error: GatewayError) -> None:
    is_unknown = isinstance(error, CapabilityUnavailableError) and error.reason == "unknown"
    document = (make_tool_failure if is_unknown else make_error)(request_id, error, exchange.request_id)
    exchange.answer_json(error.status, document, error.get_headers())


async def _answer_connect(call: Call, gateway: Gateway, error: ConnectionRequiredError) -> None:
    """Ask for the missing connection in the way that the client's revision knows, if the person can make it."""
    exchange, message = call.exchange, call.message
    link = await find_connect_link(call, gateway, error)
    if link is None:
        exchange.answer_json(200, make_error(message.id, error, exchange.request_id))
    elif call.can_ask_for_input and has_client_capability(message, "elicitation", "url"):
        exchange.answer_json(200, make_connect_result(message.id, error, link))
    else:
        exchange.answer_json(200, make_connect_error(message.id, error, link, exchange.request_id))


def _answer_approval(call: Call, error: ApprovalRequiredError) -> None:
    """Ask for the approval in the way that the client's revision knows, if there is somebody to ask."""
    exchange, message = call.exchange, call.message
    if not error.pages:
        exchange.answer_json(200, make_error(message.id, error, exchange.request_id))
    elif call.can_ask_for_approval and has_client_capability(message, "elicitation", "url"):
        exchange.answer_json(200, make_approval_result(message.id, error))
    else:
        exchange.answer_json(200, make_approval_error(message.id, error, exchange.request_id))
