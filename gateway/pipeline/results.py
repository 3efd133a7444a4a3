"""On the way back: what an integration's answer may not say to this caller is taken out, what it may keep is sealed."""

from __future__ import annotations

from typing import Any

import orjson

from connections.definitions import digest_definition
from gateway.errors import InvalidParamsError
from gateway.facts import CapabilityFacts
from gateway.mcp.answers import APPROVAL_INPUT, CONNECT_INPUT
from gateway.mcp.envelopes import bind
from gateway.mcp.eras import Era
from gateway.mcp.methods import LISTS, Kind, Method
from gateway.pipeline.call import Call, Caller
from gateway.pipeline.decide import could_use, find_capability
from gateway.service import Gateway

_STATE = "requestState"


def rewrite_response(call: Call, gateway: Gateway, document: dict[str, Any]) -> bytes | None:
    """Return the response as this caller may see it, or None where the integration's own words can stand."""
    result = document.get("result")
    if not isinstance(result, dict) or call.method is None:
        return None
    if not call.method.items and (call.era is not Era.MODERN or not (_STATE in result or call.method.is_cacheable)):
        return None
    changed = dict(result)
    if call.method.items:
        filter_list(call.caller, gateway, call.method, changed)
    if call.era is Era.MODERN:
        if call.method.is_cacheable and "cacheScope" in result:
            changed["cacheScope"] = "private"  # made for one caller: never for a shared cache
        if isinstance(state := result.get(_STATE), str):
            changed[_STATE] = gateway.envelopes.seal(_STATE, _bind_state(call), state)
    return orjson.dumps({**document, "result": changed}) if changed != result or call.method.items else None


def rewrite_replayed(caller: Caller, gateway: Gateway, document: dict[str, Any]) -> bytes | None:
    """Filter a response that arrives apart from its request (a resumed stream): its shape says which list it is."""
    result = document.get("result")
    methods = [method for items, method in LISTS.items() if isinstance(result, dict) and items in result]
    if not methods:
        return None
    changed = dict(document["result"])
    for method in methods:
        filter_list(caller, gateway, method, changed)
    return orjson.dumps({**document, "result": changed})


def open_state(call: Call, gateway: Gateway) -> None:
    """Give the integration back its requestState, if it is the one this caller was given for this request."""
    params = call.message.params
    if _STATE not in params:
        return
    sealed = params[_STATE]
    state = gateway.envelopes.open(_STATE, _bind_state(call), sealed) if isinstance(sealed, str) else None
    if state is None:
        raise InvalidParamsError("requestState was changed, or belongs to another request: start the call again")
    call.message = call.message.with_params({**params, _STATE: state})


def take_own_answers(call: Call) -> None:
    """Take out what answers our own requests, to connect or to approve: the integration never asked for it."""
    responses = call.message.params.get("inputResponses")
    if not isinstance(responses, dict):
        return
    own = {name for name in responses if name == CONNECT_INPUT or name.startswith(f"{APPROVAL_INPUT}_")}
    if not own:
        return
    call.has_connect_answer = CONNECT_INPUT in own
    call.has_approval_answer = bool(own - {CONNECT_INPUT})
    params = {name: value for name, value in call.message.params.items() if name != "inputResponses"}
    if others := {name: value for name, value in responses.items() if name not in own}:
        params["inputResponses"] = others
    call.message = call.message.with_params(params)


def filter_list(caller: Caller, gateway: Gateway, method: Method, result: dict[str, Any]) -> None:
    """Cut a list in `result` down to what this caller could be allowed to use and what is as it was reviewed."""
    items = result.get(method.items)
    assert method.kind is not None
    kept = []
    for item in items if isinstance(items, list) else []:
        name = item.get(method.item_name) if isinstance(item, dict) else None
        if isinstance(name, str) and _is_listed(caller, gateway, method.kind, name, item):
            kept.append(item)
    result[method.items] = kept


def _is_listed(caller: Caller, gateway: Gateway, kind: Kind, name: str, item: dict[str, Any]) -> bool:
    capability = find_capability(caller, kind, name)
    if kind is Kind.TOOL and _has_drifted(capability, item):
        gateway.notices.report_drift(caller.integration, name, capability)
        return False
    if capability is not None and not capability.is_active:
        return False
    return could_use(caller, kind, name, capability)


def _has_drifted(capability: CapabilityFacts | None, item: dict[str, Any]) -> bool:
    # Without a digest it was declared by hand, and no definition has been reviewed.
    return capability is None or bool(capability.digest and digest_definition(item) != capability.digest)


def _bind_state(call: Call) -> str:
    method, message = call.message.method or "", call.message
    subject = str(message.params.get("name", message.params.get("uri", "")))
    return bind(call.caller.principal, call.caller.integration, method, subject)
