"""Last before the log: what goes on by a rule with a limit is counted, and refused where the limit is used up."""

from __future__ import annotations

import datetime as dt

from gateway.errors import LimitReachedError
from gateway.pipeline.call import Call
from gateway.service import Gateway


async def take_limits(call: Call, gateway: Gateway) -> None:
    """Count a use of each limit that the decision relies on. Raises LimitReachedError or UnavailableError."""
    asked = call.decision
    assert asked is not None
    call.decision = await gateway.runtime.limits.take(call.caller.principal.organization_id, asked)
    if call.decision.effect is not asked.effect:
        until = min((call.decision.call.spent or {}).values())
        again = dt.datetime.fromtimestamp(until, dt.UTC).strftime("%H:%M:%S UTC")
        what = f"{call.caller.integration.slug}:{call.name}"
        raise LimitReachedError(
            f"{what} was used as often as the rules allow: again from {again}", call.decision, until
        )
