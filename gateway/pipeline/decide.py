"""Stage 3. May it: the three layers of policy, on the capability and the arguments."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gateway.errors import CapabilityUnavailableError, InvalidParamsError, PolicyDeniedError
from gateway.facts import CapabilityFacts
from gateway.mcp.methods import Kind
from gateway.pipeline.call import Call, Caller
from gateway.service import Gateway
from policy.engine import Call as PolicyCall
from policy.engine import Decision, Effect

_NO_ARGUMENTS: dict[str, Any] = {}


def decide(call: Call, gateway: Gateway) -> None:
    """Let an invocation pass, or raise PolicyDeniedError or CapabilityUnavailableError.

    What the rules ask about passes here, too: it goes on only with an approval (gateway.pipeline.approve).
    """
    assert call.method is not None
    assert call.method.kind is not None
    call.name = _get_string(call.message.params, call.method.subject)
    arguments = _get_arguments(call)
    call.capability = find_capability(call.caller, call.method.kind, call.name)
    policy_call = make_policy_call(call.caller, call.name, call.capability, call.method.kind, arguments)
    call.decision = call.caller.snapshot.policy.decide(policy_call)
    if call.decision.effect is Effect.DENY:
        raise PolicyDeniedError(_say_denied(call, call.decision), call.decision, page=_get_page(call, gateway))
    # After the rules: whoever may not use a capability isn't told whether it exists.
    check_available(call.method.kind, call.name, call.capability)
    if call.capability is not None and gateway.notices.has_drifted(call.caller.integration, call.capability):
        raise CapabilityUnavailableError(
            f"{call.name} is held: the integration shows another definition than the one that was reviewed",
            reason="held",
        )


def check_could_use(caller: Caller, kind: Kind, name: str) -> None:
    """Let requests about a capability pass (completions, subscriptions) if some call of it could be allowed."""
    capability = find_capability(caller, kind, name)
    policy_call = make_policy_call(caller, name, capability, kind, _NO_ARGUMENTS)
    if not caller.snapshot.policy.could_allow(policy_call):
        raise PolicyDeniedError(
            f"the rules don't allow {caller.integration.slug}:{name}", caller.snapshot.policy.decide(policy_call)
        )
    check_available(kind, name, capability)


def could_use(caller: Caller, kind: Kind, name: str, capability: CapabilityFacts | None) -> bool:
    return caller.snapshot.policy.could_allow(make_policy_call(caller, name, capability, kind, _NO_ARGUMENTS))


def find_capability(caller: Caller, kind: Kind, name: str) -> CapabilityFacts | None:
    return caller.snapshot.capabilities.get((caller.integration.id, kind.value, name))


def check_available(kind: Kind, name: str, capability: CapabilityFacts | None) -> None:
    if capability is None:
        if kind is Kind.TOOL:  # its class isn't known, so rules about classes could not have been applied
            raise CapabilityUnavailableError(f"{name} is not a known tool of this integration", reason="unknown")
        return
    if not capability.is_active:
        raise CapabilityUnavailableError(
            f"{name} is held: its definition has changed, and an administrator must accept it first"
            if capability.status == "held"
            else f"{name} is no longer offered by this integration",
            reason=capability.status,
        )


def make_policy_call(
    caller: Caller, name: str, capability: CapabilityFacts | None, kind: Kind, arguments: Mapping[str, Any]
) -> PolicyCall:
    # Resources and prompts only read. A tool nobody has looked at counts as the worst it could be.
    unknown = "destructive" if kind is Kind.TOOL else "read"
    return PolicyCall(
        user=caller.principal.user_id,
        groups=caller.groups,
        application=caller.principal.application_id,
        integration=caller.integration.id,
        capability=name,
        klass=capability.klass if capability is not None else unknown,
        arguments=arguments,
        now=time.time(),
        source_address=caller.source_address or "",
    )


def _get_arguments(call: Call) -> dict[str, Any]:
    arguments = call.message.params.get("arguments")
    if arguments is None:
        return _NO_ARGUMENTS
    if not isinstance(arguments, dict):
        raise InvalidParamsError("arguments must be an object")
    return arguments


def _get_string(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidParamsError(f"params.{name} must be a string")
    return value


def _say_denied(call: Call, decision: Decision) -> str:
    what = f"{call.caller.integration.slug}:{call.name}"
    layer = f" by the {decision.deciding.value} layer" if decision.deciding is not None else ""
    return f"{what} with these arguments is not allowed{layer}"


def _get_page(call: Call, gateway: Gateway) -> str:
    """Return where the person sees why, and can ask for what would change it; empty where there is no person."""
    return f"{gateway.config.issuer}/activity/calls/{call.id}/" if call.caller.principal.user_id is not None else ""
