"""Begin and complete a sign-in: one redirect URI per identity provider."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from social_core.exceptions import SocialAuthBaseException

from audit.services.record import record_event
from audit.types import EventType
from orgs.errors import TooManyGroupsError
from orgs.http import get_request_id, get_source_address, make_actor
from orgs.limits import Limit, find_wait, record_use
from orgs.models import IdentityProvider, User
from orgs.sessions import set_current_organization
from orgs.sso.backend import OrganizationBackend
from orgs.sso.errors import SignInRefusedError
from orgs.sso.providers import find_usable_provider

STARTS = Limit("sign-in-starts", uses=60)
FAILURES = Limit("sign-in-failures", uses=20)
_SESSION_BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_GET
def begin(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Send the browser to the identity provider, with state, nonce and PKCE bound to its session."""
    provider = _get_provider(provider_id)
    address = get_source_address(request) or ""
    if record_use(STARTS, address) or find_wait(FAILURES, address):
        return _explain(request, provider, "too_many_attempts", status=429)
    request.session[_next_key(provider)] = _get_safe_next(request)
    try:
        return OrganizationBackend(request, provider, login_hint=request.GET.get("email", "")[:254]).start()
    except (SignInRefusedError, SocialAuthBaseException) as error:
        return _refuse(request, provider, _get_reason(error), status=502)


@never_cache
@require_GET
def complete(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Take the identity provider's answer. Whatever is wrong with it, nobody is signed in and nothing is created."""
    provider = _get_provider(provider_id)
    address = get_source_address(request) or ""
    if find_wait(FAILURES, address):
        return _explain(request, provider, "too_many_attempts", status=429)
    try:
        user = OrganizationBackend(request, provider).complete()
    except (SignInRefusedError, SocialAuthBaseException, TooManyGroupsError) as error:
        record_use(FAILURES, address)
        return _refuse(request, provider, _get_reason(error), status=403)
    assert isinstance(user, User)
    return _sign_in(request, provider, user)


def _sign_in(request: HttpRequest, provider: IdentityProvider, user: User) -> HttpResponse:
    target = request.session.pop(_next_key(provider), "")
    # Gives the session a new key, and empties one that was somebody else's.
    login(request, user, backend=_SESSION_BACKEND)
    set_current_organization(request, provider.organization)
    record_event(
        type=EventType.SIGNED_IN,
        organization_id=provider.organization_id,
        actor=make_actor(user=user),
        details={"identity_provider": provider.name, "issuer": provider.issuer},
    )
    return HttpResponseRedirect(target or resolve_url("/"))


def _get_provider(provider_id: UUID) -> IdentityProvider:
    provider = find_usable_provider(provider_id)
    if provider is None:
        raise Http404("there is no such identity provider")
    return provider


def _get_safe_next(request: HttpRequest) -> str:
    target = request.GET.get("next", "")
    is_safe = url_has_allowed_host_and_scheme(target, allowed_hosts=None) and target.startswith("/")
    return target if is_safe else ""


def _next_key(provider: IdentityProvider) -> str:
    return f"sso-next-{provider.pk}"


def _get_reason(error: Exception) -> str:
    if isinstance(error, SignInRefusedError):
        return error.reason
    return str(getattr(error, "code", "")) or "refused"


def _refuse(request: HttpRequest, provider: IdentityProvider, reason: str, *, status: int) -> HttpResponse:
    record_event(
        type=EventType.SIGN_IN_REFUSED,
        organization_id=provider.organization_id,
        outcome="error_auth",
        actor=make_actor(),
        details={"identity_provider": provider.name, "reason": reason},
    )
    return _explain(request, provider, reason, status=status)


def _explain(request: HttpRequest, provider: IdentityProvider, reason: str, *, status: int) -> HttpResponse:
    context = {"provider": provider, "reason": reason, "request_id": get_request_id()}
    return render(request, "orgs/sso/problem.html", context, status=status)
