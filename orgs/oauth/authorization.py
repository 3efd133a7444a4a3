"""An authorization request, read and checked: who asks for what, for whom, and where the answer goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauthlib.oauth2 import FatalClientError, OAuth2Error

from orgs.models import Application, Delegation, Membership, Organization, User
from orgs.oauth.redirects import get_redirect_host
from orgs.oauth.resources import Resource, find_resource, get_default_resource

_CHALLENGE = re.compile(r"\A[A-Za-z0-9_-]{43}\Z")
_MOST_RESOURCES = 10
_MOST_CHARACTERS = 255


class UnknownClientError(Exception):
    """The client or its redirect URI is not to be trusted: the person is told, and nobody is redirected."""


class RefusedError(Exception):
    """The application is told, by redirect, with the code its RFC gives."""

    def __init__(self, code: str, description: str, *, redirect_uri: str, state: str | None) -> None:
        super().__init__(description)
        self.url = get_error_url(redirect_uri, code=code, description=description, state=state)


@dataclass(frozen=True)
class AuthorizationRequest:
    """What the consent page is about. `credentials` is oauthlib's view of the same."""

    application: Application
    organization: Organization
    user: User
    redirect_uri: str
    scopes: tuple[str, ...]
    resources: tuple[Resource, ...]
    state: str | None
    prompts: frozenset[str]
    credentials: dict[str, Any]

    @property
    def redirect_host(self) -> str:
        return get_redirect_host(self.redirect_uri)

    @property
    def resource_urls(self) -> list[str]:
        return [resource.url for resource in self.resources]

    def refuse(self, code: str, description: str) -> RefusedError:
        return RefusedError(code, description, redirect_uri=self.redirect_uri, state=self.state)

    def find_covering_delegation(self) -> Delegation | None:
        """Return the live consent of this person that covers all of this, if there is one."""
        delegation = Delegation.objects.usable().filter(user=self.user, application=self.application).first()
        if delegation is None or delegation.redirect_host != self.redirect_host:
            return None
        is_covered = set(self.scopes) <= set(delegation.scopes) and set(self.resource_urls) <= set(delegation.resources)
        return delegation if is_covered else None


def read_authorization_request(
    request: HttpRequest, membership: Membership, core: OAuthLibCore
) -> AuthorizationRequest:
    """Check the request in the URL (a consent form's body adds nothing to it).

    Raises UnknownClientError or RefusedError. An application of another organization is as unknown as one that does
    not exist.
    """
    scopes, credentials = _validate(request, core)
    asked = credentials.pop("request")
    application: Application = asked.client
    if application.organization_id not in (None, membership.organization_id):
        raise UnknownClientError
    refuse = _Refuser(credentials["redirect_uri"], credentials["state"])
    _check_parameters(request, refuse)
    return AuthorizationRequest(
        application=application,
        organization=membership.organization,
        user=membership.user,
        redirect_uri=credentials["redirect_uri"],
        scopes=tuple(scopes),
        resources=_find_resources(request, scopes, application, membership, refuse),
        state=credentials["state"],
        prompts=frozenset(request.GET.get("prompt", "").split()),
        credentials=credentials,
    )


def refuse_silently(request: HttpRequest, core: OAuthLibCore, code: str, description: str) -> RefusedError:
    """Return OpenID Connect's answer to prompt=none where a page would have to be shown first."""
    _, credentials = _validate(request, core)
    return RefusedError(code, description, redirect_uri=credentials["redirect_uri"], state=credentials["state"])


def get_error_url(redirect_uri: str, *, code: str, description: str, state: str | None) -> str:
    """Return where to send an error: it names its issuer, as every answer does (RFC 9207)."""
    parts = urlsplit(redirect_uri)
    answer = {"error": code, "error_description": description, "state": state, "iss": settings.PUBLIC_URL}
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in answer]
    given = [(name, value) for name, value in answer.items() if value is not None]
    return parts._replace(query=urlencode([*kept, *given])).geturl()


@dataclass(frozen=True)
class _Refuser:
    redirect_uri: str
    state: str | None

    def __call__(self, code: str, description: str) -> RefusedError:
        return RefusedError(code, description, redirect_uri=self.redirect_uri, state=self.state)


def _validate(request: HttpRequest, core: OAuthLibCore) -> tuple[list[str], dict[str, Any]]:
    if "\0" in request.META.get("QUERY_STRING", "") or any("\0" in value for value in request.GET.values()):
        raise UnknownClientError
    uri, _, _, headers = core._extract_params(request)
    try:
        scopes, credentials = core.server.validate_authorization_request(uri, "GET", "", headers)
    except (FatalClientError, ValueError):
        raise UnknownClientError from None
    except OAuth2Error as error:
        redirect_uri = error.redirect_uri or ""
        if not redirect_uri:
            raise UnknownClientError from None
        description = error.description or "The request is not valid."
        raise RefusedError(str(error.error), description, redirect_uri=redirect_uri, state=error.state) from None
    return scopes, credentials


def _check_parameters(request: HttpRequest, refuse: _Refuser) -> None:
    """Refuse here, with a reason, what would fail to be stored after the person has consented."""
    if not _CHALLENGE.match(request.GET.get("code_challenge", "")):
        raise refuse("invalid_request", "code_challenge must be the base64url SHA-256 of the verifier (RFC 7636).")
    if len(request.GET.get("nonce", "")) > _MOST_CHARACTERS:
        raise refuse("invalid_request", f"nonce must not be longer than {_MOST_CHARACTERS} characters.")
    if "request" in request.GET or "request_uri" in request.GET:
        raise refuse("request_not_supported", "Send the parameters in the URL: request objects are not supported.")


def _find_resources(
    request: HttpRequest, scopes: list[str], application: Application, membership: Membership, refuse: _Refuser
) -> tuple[Resource, ...]:
    default = get_default_resource(scopes)
    urls = list(dict.fromkeys(request.GET.getlist("resource"))) or ([default] if default else [])
    if not urls:
        raise refuse("invalid_target", "Name the resource to be used in the resource parameter (RFC 8707).")
    if len(urls) > _MOST_RESOURCES:
        raise refuse("invalid_target", f"Name at most {_MOST_RESOURCES} resources.")
    found = [
        find_resource(url, application=application, user=membership.user, organization=membership.organization)
        for url in urls
    ]
    known = tuple(resource for resource in found if resource is not None)
    if len(known) != len(found):
        raise refuse("invalid_target", "A resource is unknown, or this application may not use it.")
    return known
