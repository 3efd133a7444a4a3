"""Find an integration's authorization server from nothing but the integration's URL.

401 with WWW-Authenticate → protected-resource metadata (RFC 9728) → authorization-server metadata (RFC 8414),
or OpenID Connect discovery. Without resource metadata, the integration's own origin is asked, as the MCP
revision of 2025-03-26 had it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from connections import egress
from connections.errors import DestinationRefusedError, DiscoveryError, EgressError
from connections.oauth.metadata import (
    AuthorizationServer,
    ProtectedResource,
    parse_authorization_server,
    parse_protected_resource,
)

_LIMITS = egress.Limits(seconds=10, body_bytes=256 * 1024)
# Anything a server might answer: it must refuse before it looks at the message.
_PROBE = {"jsonrpc": "2.0", "id": 0, "method": "ping"}
_PARAMETER = re.compile(r'(?:^|[\s,])(resource_metadata|scope)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found. `server` is None when the integration asks for no authorization at all."""

    server: AuthorizationServer | None
    resource: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Challenge:
    resource_metadata: str = ""
    scopes: tuple[str, ...] = ()
    is_open: bool = False


def discover(url: str) -> Discovery:
    """Raises DiscoveryError, or EgressError when the integration itself can't be reached."""
    challenge = _probe(url)
    if challenge.is_open:
        return Discovery(server=None, resource=url)
    resource = _find_protected_resource(url, challenge.resource_metadata)
    if resource is None:
        server = _fetch_first_server([_get_origin(url)])
        return Discovery(server, resource=url, scopes=challenge.scopes)
    server = _fetch_first_server(resource.authorization_servers)
    return Discovery(server, resource.resource, challenge.scopes or resource.scopes)


def fetch_authorization_server(issuer: str) -> AuthorizationServer:
    """Return the metadata of this issuer. The first document found counts, a wrong one is not skipped over."""
    if "#" in issuer or "?" in issuer:
        raise DiscoveryError("the authorization server's identifier must have no query and no fragment")
    for location in _get_server_locations(issuer):
        document = _find_document(location)
        if document is not None:
            return parse_authorization_server(document, issuer=issuer)
    raise DiscoveryError(f"{egress.describe(issuer)} publishes no authorization-server metadata")


def _probe(url: str) -> _Challenge:
    headers = {"Accept": "application/json, text/event-stream"}
    # Only the status and a header matter; an open server may answer with a stream that never ends.
    response = egress.post_json(url, _PROBE, headers=headers, limits=_LIMITS, is_complete=lambda _: True)
    if response.is_success:
        return _Challenge(is_open=True)
    if response.status == 401:
        return _parse_challenge(response.headers.get("WWW-Authenticate", ""))
    return _Challenge()


def _parse_challenge(header: str) -> _Challenge:
    found = {name: quoted or plain for name, quoted, plain in _PARAMETER.findall(header)}
    return _Challenge(found.get("resource_metadata", ""), tuple(found.get("scope", "").split()))


def _find_protected_resource(url: str, announced: str) -> ProtectedResource | None:
    if announced:
        document = _find_document(announced)
        if document is None:
            raise DiscoveryError(f"the integration names {egress.describe(announced)} as its metadata; none is there")
        return parse_protected_resource(document, url=url)
    for location in _get_resource_locations(url):
        document = _find_document(location)
        if document is not None:
            return parse_protected_resource(document, url=url)
    return None


def _find_document(location: str) -> Mapping[str, Any] | None:
    """Return the JSON object there, or None when there is none. A server that is down is an error, not an absence."""
    response = egress.request("GET", location, headers={"Accept": "application/json"}, limits=_LIMITS)
    if response.status >= 500:
        raise DiscoveryError(f"{egress.describe(location)} answered {response.status}")
    return response.json() if response.status == 200 and "json" in response.headers.get("Content-Type", "") else None


def _fetch_first_server(issuers: tuple[str, ...] | list[str]) -> AuthorizationServer:
    failure: DiscoveryError | EgressError = DiscoveryError("the integration names no authorization server")
    for issuer in issuers[:3]:
        try:
            return fetch_authorization_server(issuer)
        except DestinationRefusedError:
            raise
        except (DiscoveryError, EgressError) as error:
            failure = error
    raise failure


def _get_resource_locations(url: str) -> Iterator[str]:
    origin, path = _get_origin(url), urlsplit(url).path.rstrip("/")
    if path:
        yield f"{origin}/.well-known/oauth-protected-resource{path}"
    yield f"{origin}/.well-known/oauth-protected-resource"


def _get_server_locations(issuer: str) -> Iterator[str]:
    origin, path = _get_origin(issuer), urlsplit(issuer).path.rstrip("/")
    yield f"{origin}/.well-known/oauth-authorization-server{path}"
    yield f"{origin}/.well-known/openid-configuration{path}"
    if path:
        yield f"{origin}{path}/.well-known/openid-configuration"


def _get_origin(url: str) -> str:
    parts = egress.check_url(url)
    return f"{parts.scheme}://{parts.netloc}"
