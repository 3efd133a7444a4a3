"""The authorization endpoint: a person decides whether an application may act for them."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.generic import View
from oauth2_provider.views.mixins import OAuthLibMixin

from audit.services.record import record_event
from audit.types import EventType
from orgs.access import explain_no_membership
from orgs.errors import AlreadyClaimedError
from orgs.http import get_request_id, make_actor
from orgs.models import Application, Membership, Organization
from orgs.oauth.authorization import (
    AuthorizationRequest,
    RefusedError,
    UnknownClientError,
    read_authorization_request,
    refuse_silently,
)
from orgs.oauth.consent import Beginning, begin_with, get_abilities, get_beginnings
from orgs.oauth.redirects import LOOPBACK_HOSTS
from orgs.oauth.scopes import describe_scopes
from orgs.services.claim_application import claim_application
from orgs.services.grant_delegation import grant_delegation
from orgs.sessions import get_current_membership

DURATIONS = {"day": dt.timedelta(days=1), "month": dt.timedelta(days=30), "always": None}


@method_decorator([never_cache, xframe_options_deny, csrf_protect], name="dispatch")
class AuthorizeView(OAuthLibMixin, View):
    """RFC 6749 §3.1 with PKCE, for a signed-in person.

    GET shows the consent page, unless a live consent covers user, application, redirect host, scopes and resources.
    POST carries the decision; what it is about stays in the URL and is checked anew.
    """

    http_method_names = ["get", "post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        is_silent = request.method == "GET" and request.GET.get("prompt") == "none"
        if not request.user.is_authenticated and not is_silent:
            return redirect_to_login(request.get_full_path())
        try:
            return super().dispatch(request, *args, **kwargs)
        except RefusedError as refused:
            return _redirect(refused.url)
        except (UnknownClientError, AlreadyClaimedError):
            return _explain(request, "unknown_client", status=400)

    def get(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            raise refuse_silently(request, self.get_oauthlib_core(), "login_required", "Nobody is signed in.")
        membership = get_current_membership(request)
        if membership is None and request.GET.get("prompt") == "none":
            problem = "The user has to choose an organization first."
            raise refuse_silently(request, self.get_oauthlib_core(), "interaction_required", problem)
        if membership is None:
            return explain_no_membership(request)
        asked = self._read(request, membership)
        waiting = _find_obstacle(asked)
        if waiting:
            return _explain(request, waiting, status=403, asked=asked)
        if "consent" not in asked.prompts and asked.find_covering_delegation() is not None:
            return self._answer(request, asked)
        if "none" in asked.prompts:
            raise asked.refuse("consent_required", "The user has to consent to this first.")
        return _ask(request, asked)

    def post(self, request: HttpRequest) -> HttpResponse:
        membership = get_current_membership(request)
        if membership is None:
            return explain_no_membership(request)
        asked = self._read(request, membership)
        if request.POST.get("decision") != "allow":
            _record_refusal(asked)
            raise asked.refuse("access_denied", "The user refused.")
        obstacle = _find_obstacle(asked)
        if not obstacle:
            with transaction.atomic():
                application = _take_in(asked)
                if application.is_active:
                    _grant(asked, application, request.POST.get("duration", ""))
                    begin_with(
                        request.POST.get("begin", ""),
                        user=asked.user,
                        organization=asked.organization,
                        application=application,
                        resources=asked.resources,
                    )
                    return self._answer(request, asked)
            obstacle = "approval_needed"
        return _explain(request, obstacle, status=403, asked=asked)

    def _read(self, request: HttpRequest, membership: Membership) -> AuthorizationRequest:
        return read_authorization_request(request, membership, self.get_oauthlib_core())

    def _answer(self, request: HttpRequest, asked: AuthorizationRequest) -> HttpResponse:
        credentials = {**asked.credentials, "user": asked.user, "resource": asked.resource_urls}
        core = self.get_oauthlib_core()
        uri, _, _, headers = core._extract_params(request)
        answer, _, _ = core.server.create_authorization_response(
            uri, "GET", "", headers, list(asked.scopes), credentials
        )
        return _redirect(_add_issuer(answer["Location"]))


def _find_obstacle(asked: AuthorizationRequest) -> str:
    """Say why there is nothing to consent to yet, or return an empty string."""
    application, organization = asked.application, asked.organization
    if application.organization_id is None:
        is_closed = organization.client_registration == Organization.ClientRegistration.CLOSED
        return "registration_closed" if is_closed else ""
    return "" if application.is_active else "approval_needed"


def _take_in(asked: AuthorizationRequest) -> Application:
    if asked.application.organization_id is not None:
        return asked.application
    return claim_application(
        application=asked.application, organization=asked.organization, user=asked.user, resources=asked.resources
    )


def _grant(asked: AuthorizationRequest, application: Application, duration: str) -> None:
    lasting = DURATIONS.get(duration)
    grant_delegation(
        user=asked.user,
        application=application,
        scopes=asked.scopes,
        resources=asked.resource_urls,
        redirect_host=asked.redirect_host,
        expires_at=timezone.now() + lasting if lasting is not None else None,
    )


def _ask(request: HttpRequest, asked: AuthorizationRequest) -> HttpResponse:
    abilities = get_abilities(user=asked.user, application=asked.application, resources=asked.resources)
    needs_approval = (
        asked.application.organization_id is None
        and asked.organization.client_registration == Organization.ClientRegistration.APPROVAL
    )
    context = {
        # Who has to wait for an administrator grants nothing yet.
        "beginnings": [] if needs_approval else _get_beginnings(asked),
        "asked": asked,
        "application": asked.application,
        "abilities": abilities,
        "scopes": describe_scopes(asked.scopes),
        "leads_to_this_computer": asked.redirect_host in LOOPBACK_HOSTS,
        "is_self_registered": asked.application.registration_source != Application.RegistrationSource.MANUAL,
        "needs_approval": needs_approval,
    }
    return render(request, "orgs/oauth/consent.html", context)


def _get_beginnings(asked: AuthorizationRequest) -> list[Beginning]:
    return get_beginnings(
        user=asked.user, organization=asked.organization, application=asked.application, resources=asked.resources
    )


def _explain(
    request: HttpRequest, problem: str, *, status: int, asked: AuthorizationRequest | None = None
) -> HttpResponse:
    context = {"problem": problem, "asked": asked, "request_id": get_request_id()}
    return render(request, "orgs/oauth/problem.html", context, status=status)


def _redirect(url: str) -> HttpResponse:
    response = HttpResponseRedirect(url)
    # The URL held state and challenge: nobody is told where the person came from. (Not on pages: from those, browsers
    # would send forms with `Origin: null`, which is refused. Theirs is same-origin, see settings.)
    response["Referrer-Policy"] = "no-referrer"
    return response


def _add_issuer(url: str) -> str:
    """Name the issuer in the answer, so that a client of several servers can't be mixed up (RFC 9207)."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "iss"]
    return parts._replace(query=urlencode([*kept, ("iss", settings.PUBLIC_URL)])).geturl()


def _record_refusal(asked: AuthorizationRequest) -> None:
    record_event(
        type=EventType.DELEGATION_REFUSED,
        organization_id=asked.organization.pk,
        outcome="denied",
        actor=make_actor(user=asked.user, application=asked.application),
        details={"scopes": list(asked.scopes), "resources": asked.resource_urls, "redirect_host": asked.redirect_host},
    )
