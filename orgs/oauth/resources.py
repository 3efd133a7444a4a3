"""Resource indicators (RFC 8707): what a token may be for. Floors above register what they serve.

A resource is one exact URL. There are no prefixes and no wildcards, and nothing is normalized.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from orgs.models import Application, Organization, User

MANAGEMENT_SCOPE = "management:all"
INVOKE_SCOPE = "mcp:invoke"
DECISION_SCOPE = "access:evaluate"
IDENTITY_SCOPES = frozenset({"openid", "email", "profile", "offline_access"})


@dataclass(frozen=True, slots=True)
class Resource:
    """Something a token can be for. `scopes` are those that mean anything there, besides the identity scopes."""

    url: str
    name: str
    scopes: frozenset[str]
    integration_ids: tuple[UUID, ...] = ()


class ResourceFinder(Protocol):
    """Returns the resource at exactly `url` if this application may have tokens for it, else None.

    `user` is None for client credentials. An application that registered itself and belongs to nobody yet
    (`application.organization_id` is None) is asking on behalf of a user of `organization`.
    """

    def __call__(
        self, url: str, *, application: Application, user: User | None, organization: Organization
    ) -> Resource | None: ...


_finders: list[ResourceFinder] = []


def register_resource_finder(finder: ResourceFinder) -> None:
    if finder not in _finders:
        _finders.append(finder)


def find_resource(
    url: str, *, application: Application, user: User | None, organization: Organization
) -> Resource | None:
    for finder in (_find_own_resource, *_finders):
        found = finder(url, application=application, user=user, organization=organization)
        if found is not None and found.url == url:
            return found
    return None


def get_management_resource() -> str:
    return f"{settings.PUBLIC_URL}/api/v1"


def get_decision_resource() -> str:
    return f"{settings.PUBLIC_URL}/access/v1"


def get_userinfo_resource() -> str:
    return f"{settings.PUBLIC_URL}/oauth2/userinfo"


def get_default_resource(scopes: Iterable[str]) -> str | None:
    """Return the audience of a token whose client named none; one that can invoke must always be told."""
    wanted = set(scopes) - IDENTITY_SCOPES
    if wanted == {MANAGEMENT_SCOPE}:
        return get_management_resource()
    if wanted == {DECISION_SCOPE}:
        return get_decision_resource()
    return None if wanted else get_userinfo_resource()


def is_request_allowed(request_uri: str, audiences: list[str]) -> bool:
    """Answer the toolkit's question whether a token for `audiences` may be used at this URL of ours."""
    management = get_management_resource()
    path = urlsplit(request_uri).path
    resource = management if path.startswith(urlsplit(management).path + "/") else request_uri
    return resource in audiences


def _find_own_resource(
    url: str, *, application: Application, user: User | None, organization: Organization
) -> Resource | None:
    if url == get_management_resource():
        return Resource(url, "Kontext management API", frozenset({MANAGEMENT_SCOPE}))
    if url == get_decision_resource():
        return Resource(url, "Kontext decisions", frozenset({DECISION_SCOPE}))
    if url == get_userinfo_resource():
        return Resource(url, "Your profile", frozenset())
    return None
