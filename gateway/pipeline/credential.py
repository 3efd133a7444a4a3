"""Stage 4. As whom: the credential of the person's connection, or the link that makes one."""

from __future__ import annotations

from gateway.errors import ConnectionRequiredError
from gateway.facts import ConnectLink
from gateway.pipeline.call import Call
from gateway.service import Gateway


async def obtain_credential(call: Call, gateway: Gateway) -> None:
    """Find what to inject. Raises ConnectionRequiredError and CredentialUnavailableError."""
    caller = call.caller
    call.injection = await gateway.runtime.credentials.obtain(caller.snapshot, caller.principal, caller.integration)


async def renew_credential(call: Call, gateway: Gateway) -> bool:
    """Replace a credential that the integration has just refused; False where there is none to replace."""
    caller, bad = call.caller, call.injection
    if bad is None or bad.connection_id is None:
        return False
    call.injection = await gateway.runtime.credentials.renew(caller.snapshot, caller.principal, caller.integration, bad)
    return True


async def find_connect_link(call: Call, gateway: Gateway, error: ConnectionRequiredError) -> ConnectLink | None:
    """Return a link for the person to connect with, or None where no person could mend it."""
    if not error.is_personal or call.caller.principal.user_id is None:
        return None
    return await gateway.runtime.credentials.create_connect_link(call.caller.principal, call.caller.integration)
