"""Is this key any good? Asked of the integration itself before it is stored."""

from __future__ import annotations

import json

from django.core.exceptions import ValidationError

from connections.errors import EgressError, KeyRefusedError, MCPError
from connections.injection import build_headers, check_value
from connections.mcp.client import list_tools
from connections.models import Integration

_MAX_KEY_LENGTH = 8192


def check_key(integration: Integration, key: str) -> bool:
    """Tell whether the integration took the key; False when it could not be asked.

    Raises KeyRefusedError when it refused, ValidationError for what can't be a key.
    """
    try:
        check_value(key)
    except ValueError:
        raise ValidationError({"key": "A key is of printable characters without spaces around it."}) from None
    if len(key) > _MAX_KEY_LENGTH:
        raise ValidationError({"key": "This is too long to be a key."})
    if integration.category != Integration.Category.GATEWAY_REMOTE_MCP:
        return False
    headers = build_headers(
        auth_mode=integration.auth_mode,
        key_header=integration.key_header,
        key_template=integration.key_template,
        secret=json.dumps({"key": key}).encode(),
    )
    try:
        list_tools(integration.url, headers=headers)
    except MCPError as error:
        if error.status in (401, 403):
            raise KeyRefusedError(f"{integration.name} does not accept this key ({error.status})") from None
        return False
    except EgressError:
        return False
    return True
