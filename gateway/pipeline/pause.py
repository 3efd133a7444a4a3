"""What a person has paused gets no further, whatever the rules say: not a call, not a list, not a session."""

from __future__ import annotations

from gateway.errors import DelegationPausedError
from gateway.facts import Principal
from gateway.pipeline.call import Call
from gateway.pipeline.intent import record_refusal
from gateway.pipeline.outcome import DENIED
from gateway.service import Gateway


async def refuse_paused(call: Call, gateway: Gateway) -> None:
    """Raise DelegationPausedError, with an event of it where an invocation was asked for."""
    error = make_paused_error(call.caller.principal, gateway)
    if call.is_invocation:
        assert call.method is not None
        name = call.message.params.get(call.method.subject)
        call.name = name if isinstance(name, str) else ""
        await record_refusal(call, gateway, outcome=DENIED, error=error)
    raise error


def make_paused_error(principal: Principal, gateway: Gateway) -> DelegationPausedError:
    page = f"{gateway.config.issuer}/applications/{principal.application_id}/"
    who, what = principal.user_name, principal.application_name
    return DelegationPausedError(f"{who} has paused {what}: they can resume it at {page}", page=page)
