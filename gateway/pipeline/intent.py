"""Stage 5. Say so first: what is about to happen is durable before it happens, and so is what was refused."""

from __future__ import annotations

import hmac
import time
from functools import lru_cache
from typing import Any

import orjson
from uuid_utils import uuid7

from audit.capture import Content, capture_arguments
from audit.types import EventType
from gateway.audit_log import encode_row, join_rows
from gateway.errors import GatewayError
from gateway.mcp.envelopes import name_session
from gateway.pipeline.call import Call
from gateway.service import Gateway

_NAME_CHARACTERS = 255


async def record_intent(call: Call, gateway: Gateway) -> None:
    """Write the `requested` event. Raises UnavailableError where that can't be done: the call then doesn't happen."""
    own = {"phase": "requested", "details": describe(call)}
    payload = await _keep_arguments(call, gateway, own) if call.caller.integration.capture is not None else None
    await gateway.runtime.audit_log.write(_make_first_row(call, own), payload)
    call.is_recorded = True


async def record_refusal(call: Call, gateway: Gateway, *, outcome: str, error: GatewayError) -> None:
    """Write the one event of a call that goes no further."""
    details = {**describe(call), "code": error.code, "reason": str(error)}
    own = {"phase": "denied", "outcome": outcome, "details": details}
    payload = await _keep_arguments(call, gateway, own) if call.caller.integration.capture is not None else None
    await gateway.runtime.audit_log.write(_make_first_row(call, own), payload)


def make_row(call: Call, own: dict[str, Any]) -> bytes:
    """Return an event of the call: `own` are the columns that its other events haven't."""
    if not call.row:
        call.row = _make_common_row(call)
    own["id"], own["occurred_at"] = str(uuid7()), time.time()
    return join_rows(call.row, encode_row(own))


def describe(call: Call) -> dict[str, Any]:
    details: dict[str, Any] = {"method": call.method.name} if call.method is not None else {}
    if call.approvals:
        details["approvals"] = list(call.approvals)
    return details


async def keep(call: Call, gateway: Gateway, content: Content, own: dict[str, Any]) -> bytes:
    """Seal content of the call for the event of these columns, which tells of it. Raises UnavailableError."""
    payload, own["details"]["payload"] = await gateway.runtime.payloads.seal(
        call.caller.snapshot, call.caller.principal, call=call.id, phase=own["phase"], content=content
    )
    return payload


async def _keep_arguments(call: Call, gateway: Gateway, own: dict[str, Any]) -> bytes | None:
    arguments = call.message.params.get("arguments")
    assert call.caller.integration.capture is not None
    if not isinstance(arguments, dict):
        return None
    return await keep(call, gateway, capture_arguments(call.caller.integration.capture, arguments), own)


def _make_first_row(call: Call, own: dict[str, Any]) -> bytes:
    """Return an event that also says what was asked and how it was decided, which is written down once."""
    own["arguments_digest"] = digest_arguments(call)
    if call.decision is not None:
        own["decision"] = orjson.Fragment(call.decision.explain_as_json())
    return make_row(call, own)


def _make_common_row(call: Call) -> bytes:
    principal, integration, injection = call.caller.principal, call.caller.integration, call.injection
    about_all = _encode_parties(
        principal.organization_id,
        principal.application_id,
        principal.application_name,
        principal.user_id,
        principal.user_name,
        integration.id,
        integration.slug,
        injection.connection_id if injection is not None else None,
        injection.account if injection is not None else "",
        call.caller.source_address,
    )
    about_this: dict[str, Any] = {
        "call": call.id,
        "capability": call.name[:_NAME_CHARACTERS],
        "request_id": call.exchange.request_id,
    }
    if call.decision is not None:
        about_this["policy_version"] = call.decision.version
    if call.session:
        about_this["session"] = name_session(call.session)
    if trace_id := _get_trace_id(call.exchange.headers.get("traceparent")):
        about_this["trace_id"] = trace_id
    return join_rows(about_all, encode_row(about_this))


@lru_cache(maxsize=4096)
def _encode_parties(
    organization_id: str,
    application_id: str,
    application_name: str,
    user_id: str | None,
    user_name: str,
    integration_id: str,
    integration: str,
    connection_id: str | None,
    account: str,
    source_address: str | None,
) -> bytes:
    """Return the columns that a caller's calls of one integration have in common: most follow one like them."""
    return encode_row(
        {
            "type": EventType.CAPABILITY_INVOKED,
            "organization_id": organization_id,
            "application_id": application_id,
            "application_name": application_name,
            "user_id": user_id,
            "user_name": user_name,
            "integration_id": integration_id,
            "integration": integration,
            "connection_id": connection_id,
            "account": account,
            "source_address": source_address,
        }
    )


def digest_arguments(call: Call) -> str:
    arguments = call.message.params.get("arguments") or {}
    return digest(call, orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS))


def digest(call: Call, content: bytes) -> str:
    """Return what the log keeps of content: enough to recognize it, with the organization's key, and not to read it."""
    mac = _get_mac(call.caller.snapshot.digest_key).copy()
    mac.update(content)
    return mac.hexdigest()


@lru_cache(maxsize=256)
def _get_mac(key: bytes) -> hmac.HMAC:
    # Copying one that has its key already takes a third of the time.
    return hmac.new(key, digestmod="sha256")


def _get_trace_id(traceparent: str | None) -> str:
    if traceparent is None:
        return ""
    parts = traceparent.split("-")
    is_valid = len(parts) >= 4 and len(parts[1]) == 32 and not set(parts[1]) - set("0123456789abcdef")
    return parts[1] if is_valid else ""
