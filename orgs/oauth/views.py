"""The machine-facing endpoints: token, revocation, introspection and userinfo."""

from __future__ import annotations

import json
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import View
from oauth2_provider.views.mixins import OAuthLibMixin

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import get_source_address, make_actor
from orgs.limits import Limit, find_wait, record_use
from orgs.models import Application, IssuedToken
from orgs.oauth.answers import answer_error, answer_json, answer_too_many, answer_toolkit, readable_anywhere
from orgs.oauth.clients import get_claimed_client_id, identify_client
from orgs.oauth.errors import OAuthError
from orgs.oauth.grants import GrantHandler, find_grant
from orgs.oauth.resources import get_userinfo_resource
from orgs.oauth.tokens import get_checksum
from orgs.oauth.validator import get_identity_claims
from orgs.oauth.verify import find_bearer, find_valid_token

# Guessing costs. It is counted per address alone: a limit per client would let anyone lock a client out by name.
FAILURES = Limit("token-failures", uses=30)
REQUESTS = Limit("token-requests", uses=6000)


@method_decorator([readable_anywhere, csrf_exempt, sensitive_post_parameters()], name="dispatch")
class MachineView(OAuthLibMixin, View):
    """A form POST by an application. Subclasses answer in `respond`, or raise OAuthError."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        address = get_source_address(request) or ""
        wait = record_use(REQUESTS, address) or find_wait(FAILURES, address)
        if wait:
            return answer_too_many(wait)
        response = self._respond_safely(request)
        if response.status_code in (400, 401):
            record_use(FAILURES, address)
        return response

    def respond(self, request: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    def respond_in_transaction(self, request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            return self.respond(request)

    def _respond_safely(self, request: HttpRequest) -> HttpResponse:
        try:
            _check_form(request)
            return self.respond_in_transaction(request)
        except OAuthError as error:
            return answer_error(error)


class TokenView(MachineView):
    """RFC 6749's token endpoint, with the extension grants that floors above registered."""

    def respond_in_transaction(self, request: HttpRequest) -> HttpResponse:
        handler = find_grant(request.POST.get("grant_type", ""))
        # An extension may have to ask others over the network, which no transaction may wait for.
        return super().respond_in_transaction(request) if handler is None else self._extend(request, handler)

    def respond(self, request: HttpRequest) -> HttpResponse:
        _, headers, body, status = self.create_token_response(request)
        return answer_toolkit(headers, body, status)

    def _extend(self, request: HttpRequest, handler: GrantHandler) -> HttpResponse:
        with transaction.atomic():
            application = identify_client(request, self.get_oauthlib_core())
        if application is not None and not application.allows_grant_type(request.POST["grant_type"]):
            raise OAuthError("unauthorized_client", "This application is not registered for this grant type.")
        return answer_json(handler(request, application))

    def _respond_safely(self, request: HttpRequest) -> HttpResponse:
        response = super()._respond_safely(request)
        application = Application.objects.filter(client_id=get_claimed_client_id(request).replace("\0", "")).first()
        if response.status_code >= 400:
            _record_refusal(request, application, json.loads(response.content).get("error", ""))
        elif application is not None:
            _note_use(application)
        return response


class RevokeView(MachineView):
    """RFC 7009. An unknown token is answered like a revoked one."""

    def respond(self, request: HttpRequest) -> HttpResponse:
        _, headers, body, status = self.create_revocation_response(request)
        return answer_toolkit(headers, body, status)


class IntrospectView(MachineView):
    """RFC 7662, for applications about their own tokens."""

    def respond(self, request: HttpRequest) -> HttpResponse:
        application = identify_client(request, self.get_oauthlib_core())
        if application is None or application.client_type != Application.CLIENT_CONFIDENTIAL:
            raise OAuthError("invalid_client", "Introspection needs a client with a secret.", status=401)
        token = request.POST.get("token", "")
        issued = IssuedToken.objects.filter(token_checksum=get_checksum(token), application=application).first()
        valid = find_valid_token(token, resource=issued.resource) if issued is not None else None
        return answer_json({"active": False} if valid is None else _describe(valid))


@method_decorator([readable_anywhere, csrf_exempt], name="dispatch")
class UserInfoView(View):
    """OpenID Connect's claims about the person, for a token whose audience is this endpoint."""

    def get(self, request: HttpRequest) -> HttpResponse:
        bearer = find_bearer(request.headers.get("Authorization", ""))
        issued = find_valid_token(bearer, resource=get_userinfo_resource()) if bearer else None
        if issued is None or issued.user is None or "openid" not in issued.scope.split():
            response = answer_json({"error": "invalid_token"}, status=401)
            response["WWW-Authenticate"] = 'Bearer error="invalid_token"' if bearer else "Bearer"
            return response
        return answer_json(get_identity_claims(issued.user, issued.scope.split()))

    post = get


def _check_form(request: HttpRequest) -> None:
    """Refuse what oauthlib and PostgreSQL would stumble over."""
    if request.META.get("QUERY_STRING"):
        raise OAuthError("invalid_request", "Send parameters in the body, not in the URL.")
    if any("\0" in value for values in request.POST.lists() for value in (values[0], *values[1])):
        raise OAuthError("invalid_request", "A parameter holds a NUL character.")
    for name, values in request.POST.lists():
        if len(values) > 1 and name != "resource":
            raise OAuthError("invalid_request", f"The parameter {name[:40]} is repeated (RFC 6749 §3.2).")


def _describe(issued: IssuedToken) -> dict[str, Any]:
    return {
        "active": True,
        "client_id": issued.application.client_id,
        "sub": str(issued.user_id or issued.application_id),
        "aud": issued.resource,
        "scope": issued.scope,
        "jti": str(issued.jti),
        "iat": int(issued.issued_at.timestamp()),
        "exp": int(issued.expires_at.timestamp()),
        "token_type": "Bearer",
    }


def _record_refusal(request: HttpRequest, application: Application | None, reason: str) -> None:
    record_event(
        type=EventType.TOKEN_REFUSED,
        organization_id=application.organization_id if application is not None else None,
        outcome="error_auth",
        actor=make_actor(application=application),
        details={"reason": reason, "grant_type": request.POST.get("grant_type", "")[:100].replace("\0", "")},
    )


def _note_use(application: Application) -> None:
    """Keep the time of the last use to the minute: a row written at every token would be a bottleneck."""
    now = timezone.now()
    if application.last_used_at is None or (now - application.last_used_at).total_seconds() > 60:
        Application.objects.filter(pk=application.pk).update(last_used_at=now)
