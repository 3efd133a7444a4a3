"""Is this key any good? Asked of the service itself before it is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass

from connections.catalogue.reading import read_stored
from connections.errors import EgressError, KeyRefusedError, MCPError
from connections.filling import follow
from connections.injection import build_headers
from connections.mcp.client import list_tools
from connections.models import Integration
from connections.oauth.accounts import parse_answer, send_call
from connections.oauth.dialect import Call
from connections.sealing import Document


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether the service took the key (it may be down, or there is no way to ask), and whose it is where it says."""

    is_verified: bool
    account: str = ""


def check_key(integration: Integration, document: Document) -> Checked:
    """Raises KeyRefusedError when the service refuses the key."""
    headers = build_headers(integration.recipe, json.dumps(document).encode())
    if integration.category == Integration.Category.GATEWAY_REMOTE_MCP:
        return _list_tools(integration, headers)
    if integration.key_check:
        return _ask(integration, document, headers)
    return Checked(is_verified=False)


def _list_tools(integration: Integration, headers: dict[str, str]) -> Checked:
    try:
        list_tools(integration.url, headers=headers)
    except MCPError as error:
        if error.status in (401, 403):
            raise _refuse(integration, error.status) from None
        return Checked(is_verified=False)
    except EgressError:
        return Checked(is_verified=False)
    return Checked(is_verified=True)


def _ask(integration: Integration, document: Document, headers: dict[str, str]) -> Checked:
    call = read_stored(Call, integration.key_check)
    values = {**integration.parameters, **document.get("values", {}), "token": document["key"]}
    try:
        response = send_call(call, values, headers)
    except EgressError:
        return Checked(is_verified=False)
    if response.status in call.refused:
        raise _refuse(integration, response.status)
    answer = parse_answer(response)
    if response.is_success and call.ok and follow(answer, call.ok) is not True:
        raise _refuse(integration, response.status)
    account = follow(answer, call.path) if call.path and response.is_success else None
    return Checked(response.is_success, str(account)[:255] if isinstance(account, str | int) else "")


def _refuse(integration: Integration, status: int) -> KeyRefusedError:
    return KeyRefusedError(f"{integration.name} does not accept this key ({status})")
