"""What an authorization server and a protected resource say about themselves, checked before anything is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from connections import egress
from connections.errors import DestinationRefusedError, DiscoveryError

# What a URL we send a browser to may consist of: no quotes, dollars, semicolons or other characters a shell knows.
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9\-._~:/?\[\]@!*+,=%&]+\Z")


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """RFC 9728 metadata: which resource this is, and whose tokens it takes."""

    resource: str
    authorization_servers: tuple[str, ...]
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """RFC 8414 or OpenID Connect discovery metadata, as far as we use it. `document` is the whole of it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    auth_methods: tuple[str, ...] = ("client_secret_basic",)
    scopes: tuple[str, ...] = ()
    sends_issuer: bool = False
    takes_metadata_documents: bool = False
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse_protected_resource(document: Mapping[str, Any], *, url: str) -> ProtectedResource:
    """Raises DiscoveryError when the document is about something other than the integration at `url`."""
    resource = _get_text(document, "resource")
    if not covers(resource, url):
        raise DiscoveryError(f"the integration's metadata is about {egress.describe(resource)}, not about its own URL")
    servers = tuple(_get_texts(document, "authorization_servers"))
    if not servers:
        raise DiscoveryError("the integration's metadata names no authorization server")
    return ProtectedResource(resource, servers, tuple(_get_texts(document, "scopes_supported")))


def covers(resource: str, url: str) -> bool:
    """Tell whether a resource identifier stands for this URL: equal, or its origin, or a parent path.

    RFC 9728 §3.3 asks for equality. Hosted servers in wide use name their origin, or differ in the last slash, so a
    parent counts too; another host, scheme or port never does.
    """
    try:
        theirs, ours = urlsplit(resource), urlsplit(url)
        same_origin = _get_origin(resource) == _get_origin(url)
    except (ValueError, DestinationRefusedError):
        return False
    if not same_origin or theirs.query or theirs.fragment:
        return False
    return f"{ours.path.rstrip('/')}/".startswith(f"{theirs.path.rstrip('/')}/")


def parse_authorization_server(document: Mapping[str, Any], *, issuer: str) -> AuthorizationServer:
    """Raises DiscoveryError for another issuer (RFC 8414 §3.3), an unusable endpoint, or no PKCE with S256."""
    if _get_text(document, "issuer") != issuer:
        # A server that speaks for another issuer could collect the other's codes and tokens.
        raise DiscoveryError(f"the authorization server's metadata is not that of {egress.describe(issuer)}")
    if "S256" not in _get_texts(document, "code_challenge_methods_supported"):
        raise DiscoveryError("the authorization server does not announce PKCE with S256, which is required")
    return AuthorizationServer(
        issuer=issuer,
        authorization_endpoint=check_endpoint(_get_text(document, "authorization_endpoint")),
        token_endpoint=check_endpoint(_get_text(document, "token_endpoint")),
        registration_endpoint=_get_endpoint(document, "registration_endpoint"),
        revocation_endpoint=_get_endpoint(document, "revocation_endpoint"),
        auth_methods=tuple(_get_texts(document, "token_endpoint_auth_methods_supported")) or ("client_secret_basic",),
        scopes=tuple(_get_texts(document, "scopes_supported")),
        sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        takes_metadata_documents=document.get("client_id_metadata_document_supported") is True,
        document=document,
    )


def check_endpoint(url: str) -> str:
    """Return an endpoint that we may call or send a browser to. Raises DiscoveryError."""
    try:
        egress.check_url(url)
    except DestinationRefusedError as error:
        raise DiscoveryError(f"an endpoint in the metadata can't be used: {error}") from None
    if not _ENDPOINT.match(url):
        raise DiscoveryError("an endpoint in the metadata holds characters that don't belong in one")
    return url


def _get_endpoint(document: Mapping[str, Any], name: str) -> str:
    return check_endpoint(_get_text(document, name)) if document.get(name) else ""


def _get_text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise DiscoveryError(f"the metadata has no {name}")
    if len(value) > 500:
        raise DiscoveryError(f"the metadata's {name} is too long")
    return value


def _get_texts(document: Mapping[str, Any], name: str) -> list[str]:
    values = document.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DiscoveryError(f"the metadata's {name} is not a list of texts")
    return values


def _get_origin(url: str) -> tuple[str, str, int]:
    parts = egress.check_url(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
