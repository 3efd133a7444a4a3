"""Stage 5. Say so first: what is about to happen is durable before it happens, and so is what was refused."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from audit.types import EventType
from gateway.errors import GatewayError
from gateway.facts import CallEvent
from gateway.mcp.envelopes import name_session
from gateway.pipeline.call import Call
from gateway.service import Gateway

_NAME_CHARACTERS = 255


async def record_intent(call: Call, gateway: Gateway) -> None:
    """Write the `requested` event. Raises UnavailableError where that can't be done: the call then doesn't happen."""
    await gateway.runtime.audit_log.write(make_event(call, phase="requested", outcome=""))
    call.is_recorded = True


async def record_refusal(call: Call, gateway: Gateway, *, outcome: str, error: GatewayError) -> None:
    """Write the one event of a call that goes no further."""
    details = {**_describe(call), "code": error.code, "reason": str(error)}
    await gateway.runtime.audit_log.write(make_event(call, phase="denied", outcome=outcome, details=details))


def make_event(
    call: Call, *, phase: str, outcome: str, latency_us: int | None = None, details: Mapping[str, Any] | None = None
) -> CallEvent:
    principal, integration, injection = call.caller.principal, call.caller.integration, call.injection
    return CallEvent(
        type=EventType.CAPABILITY_INVOKED,
        call=call.id,
        phase=phase,
        outcome=outcome,
        organization_id=principal.organization_id,
        application_id=principal.application_id,
        application_name=principal.application_name,
        user_id=principal.user_id,
        user_name=principal.user_name,
        integration_id=integration.id,
        integration=integration.slug,
        capability=call.name[:_NAME_CHARACTERS],
        connection_id=injection.connection_id if injection is not None else None,
        account=injection.account if injection is not None else "",
        session=name_session(call.session) if call.session else "",
        request_id=call.exchange.request_id,
        trace_id=_get_trace_id(call.exchange.headers.get("traceparent")),
        source_address=call.caller.source_address,
        policy_version=call.decision.version if call.decision is not None else None,
        decision=call.decision.explain() if call.decision is not None and phase != "completed" else None,
        arguments_digest=digest_arguments(call) if phase != "completed" else "",
        latency_us=latency_us,
        details=_describe(call) if details is None else details,
    )


def _describe(call: Call) -> dict[str, Any]:
    details: dict[str, Any] = {"method": call.method.name} if call.method is not None else {}
    if call.approvals:
        details["approvals"] = list(call.approvals)
    return details


def digest_arguments(call: Call) -> str:
    arguments = call.message.params.get("arguments") or {}
    digest = _get_mac(call.caller.snapshot.digest_key).copy()
    digest.update(orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()


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
