from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError

from orgs.models import IdentityProvider
from orgs.outbound import OutboundError, send

_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True)
class DiscoveredProvider:
    """What an identity provider says of itself (OpenID Connect Discovery §3), as far as sign-in needs it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    supports_pkce: bool
    missing_scopes: tuple[str, ...]


def check_identity_provider(*, provider: IdentityProvider) -> DiscoveredProvider:
    """Fetch the provider's metadata as a sign-in would, and say what would fail. Changes and records nothing.

    Raises ValidationError with a sentence on what to mend. Makes a request to the outside: call it in no transaction.
    """
    metadata = _fetch(f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration")
    if metadata.get("issuer") != provider.issuer:
        named = str(metadata.get("issuer"))[:255]
        raise ValidationError(
            f"The metadata names the issuer {named}, and here {provider.issuer} is entered. "
            "They must be the same to the character: enter the one the metadata names if it is the one you mean."
        )
    missing = [name for name in _NEEDED if not isinstance(metadata.get(name), str)]
    if missing:
        raise ValidationError(
            f"The metadata lacks {', '.join(missing)}: this is no OpenID Connect provider to sign in at."
        )
    return DiscoveredProvider(
        issuer=provider.issuer,
        authorization_endpoint=metadata["authorization_endpoint"],
        token_endpoint=metadata["token_endpoint"],
        supports_pkce="S256" in _as_list(metadata.get("code_challenge_methods_supported")),
        missing_scopes=_find_missing_scopes(provider, metadata),
    )


def _fetch(url: str) -> dict[str, Any]:
    try:
        answer = send("GET", url, headers={"Accept": "application/json"}, body=None)
    except OutboundError as error:
        raise ValidationError(f"{url} can't be read: {error}.") from error
    if answer.status != 200:
        raise ValidationError(f"{url} answered with status {answer.status}. Check the issuer.")
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ValidationError(f"{url} answered with something that is not JSON metadata. Check the issuer.")
    return document


def _find_missing_scopes(provider: IdentityProvider, metadata: dict[str, Any]) -> tuple[str, ...]:
    offered = _as_list(metadata.get("scopes_supported"))
    return tuple(scope for scope in provider.scopes.split() if offered and scope not in offered)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
