"""How a client that knows only the endpoint's URL finds its way to a token (RFC 9728, RFC 6750)."""

from __future__ import annotations

from typing import Any

from gateway.config import Config
from gateway.errors import AuthenticationError, InsufficientScopeError

METADATA_PATH = "/.well-known/oauth-protected-resource"
SCOPE = "mcp:invoke"


def get_metadata(config: Config, slug: str | None) -> dict[str, Any]:
    """Return the metadata of a resource. It is the same whether or not anybody has an integration of this name."""
    return {
        "resource": config.get_resource(slug),
        "authorization_servers": [config.issuer],
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"],
        "resource_name": f"Kontext: {slug}" if slug else "Kontext",
    }


def make_challenge(config: Config, slug: str | None, error: AuthenticationError) -> str:
    """Return the WWW-Authenticate header. Without a token it names no error (RFC 6750 §3.1)."""
    path = f"/mcp/{slug}" if slug else "/mcp"
    parts = [f'Bearer resource_metadata="{config.url}{METADATA_PATH}{path}"']
    parts.append(f'scope="{error.scope if isinstance(error, InsufficientScopeError) else SCOPE}"')
    if error.error:
        description = error.description.replace("\\", "").replace('"', "'")
        parts += [f'error="{error.error}"', f'error_description="{description}"']
    return ", ".join(parts)
