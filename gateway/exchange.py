"""Credential-only mode: an application exchanges its Kontext token for the integration's credential (RFC 8693).

Runs in the control plane, at /oauth2/token. The order is the gateway's: who asks, may they, write down the intent,
obtain the credential, write down the outcome; only then does it leave.
"""

from __future__ import annotations

import datetime as dt
import hmac
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit.services.record import Call, Subject, record_event
from audit.types import EventType
from connections.errors import ConnectionsError, ReauthorizationRequiredError
from connections.filling import fill
from connections.models import Capability, Connection, Integration
from connections.resources import get_joined_resource
from connections.services.begin_connect import CONNECTABLE, begin_connect
from connections.services.declare_capability import ISSUE_CREDENTIAL
from connections.services.refresh import UsableCredential, get_credential
from orgs.errors import say
from orgs.http import get_source_address, make_actor
from orgs.ids import uuid7
from orgs.locks import hold_still
from orgs.models import Application, Delegation, IssuedToken, Membership, User
from orgs.oauth.errors import OAuthError
from orgs.oauth.resources import INVOKE_SCOPE
from orgs.oauth.verify import find_valid_token
from orgs.vault import derive_key
from policy.approvals import get_link, name_answerer
from policy.engine import Decision, Effect
from policy.errors import ApprovalDeniedError, ApprovalImpossibleError
from policy.models import Approval
from policy.services.simulate import simulate
from policy.services.take_uses import take_uses
from policy.services.use_approvals import AskedCall, use_approvals

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a name, RFC 8693 §3)
_SECONDS = 15.0
_NO_ARGUMENTS = b"{}"
_PAUSED = "kontext_delegation_paused"


class RefusedError(OAuthError):
    """A refusal with what helps to mend it: our own code, and perhaps the page where a person can (error_uri)."""

    def __init__(
        self,
        code: str,
        description: str,
        *,
        kontext: str,
        uri: str = "",
        status: int = 400,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(code, description, status=status, retry_after=retry_after)
        self._more = {"code": kontext, **({"error_uri": uri} if uri else {})}

    def as_dict(self) -> dict[str, str]:
        return {**super().as_dict(), **self._more}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """A request that is well-formed and whose parties are known. `user` is None for an application on its own."""

    application: Application
    user: User | None
    token: IssuedToken
    integration: Integration
    call: Any
    started: float

    def record(
        self,
        phase: str,
        outcome: str,
        *,
        decision: Decision | None = None,
        credential: UsableCredential | None = None,
        **details: Any,
    ) -> None:
        is_over = phase == "completed"
        record_event(
            type=EventType.CREDENTIAL_ISSUED,
            organization_id=self.integration.organization_id,
            outcome=outcome,
            actor=make_actor(user=self.user, application=self.application),
            subject=Subject(
                integration_id=self.integration.pk,
                integration=self.integration.slug,
                capability=ISSUE_CREDENTIAL,
                connection_id=credential.connection_id if credential is not None else None,
                account=credential.account if credential is not None else "",
            ),
            call=Call(
                call=self.call,
                phase=phase,
                policy_version=decision.version if decision is not None else None,
                decision=decision.explain() if decision is not None else None,
                latency_us=int((time.perf_counter() - self.started) * 1_000_000) if is_over else None,
            ),
            details={"jti": str(self.token.jti), **details},
        )


def exchange_token(request: HttpRequest, application: Application | None) -> Mapping[str, Any]:
    """Answer a token exchange with the credential of the person's connection, or of the organization's.

    Raises OAuthError: invalid_client, invalid_request, invalid_grant, invalid_target, access_denied,
    integration_required, temporarily_unavailable.
    """
    started = time.perf_counter()
    if application is None:
        raise OAuthError("invalid_client", "Name the client, and authenticate it if it has a secret.", status=401)
    _check_form(request)
    integration = _get_integration(request, application)
    token = _get_subject(request, application, integration)
    exchange = _Exchange(
        application=application,
        user=token.user,
        token=token,
        integration=integration,
        call=uuid7(),
        started=started,
    )
    _refuse_paused(exchange)
    decision = _decide(exchange, request)
    connection = _get_connection(exchange, decision)
    approvals: dict[str, Any] = {} if decision.is_allowed else {"approvals": _use_approvals(exchange, decision)}
    decision = _take_limits(exchange, decision)
    exchange.record("requested", "", decision=decision, **approvals)
    credential = _obtain(exchange, connection)
    _release(exchange, credential)
    return _make_answer(integration, connection, credential)


def _check_form(request: HttpRequest) -> None:
    form = request.POST
    if form.get("subject_token_type") != ACCESS_TOKEN or not form.get("subject_token"):
        raise OAuthError("invalid_request", f"Send an access token of Kontext, with subject_token_type {ACCESS_TOKEN}.")
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise OAuthError("invalid_request", "Only access tokens are given: leave out requested_token_type.")
    if "actor_token" in form or "audience" in form:
        raise OAuthError("invalid_request", "Leave out actor_token and audience: name the integration in resource.")
    if len(form.getlist("resource")) != 1:
        raise OAuthError("invalid_target", "Name one integration in the resource parameter.")


def _get_integration(request: HttpRequest, application: Application) -> Integration:
    """Find what `resource` names: an integration's short name, or its resource URL at the gateway, exactly."""
    wanted = request.POST["resource"]
    slug = wanted.removeprefix(f"{get_joined_resource()}/")
    usable = Integration.objects.for_organization(application.organization_id).active()
    integration = usable.filter(slug=slug, application_integrations__application=application).first()
    if integration is None:
        raise OAuthError("invalid_target", "The integration is unknown, or this application may not use it.")
    if integration.category != Integration.Category.INTERNAL_MCP_CREDENTIALS:
        raise OAuthError("invalid_target", f"{integration.name} is used through the gateway: it gives no credentials.")
    if integration.auth_mode == Integration.AuthMode.NONE:
        raise OAuthError("invalid_target", f"{integration.name} needs no credential: call it without one.")
    return integration


def _get_subject(request: HttpRequest, application: Application, integration: Integration) -> IssuedToken:
    """Return the token presented: live, the client's own, and for this integration or all that it may use."""
    bearer = request.POST["subject_token"]
    resources = (integration.resource, get_joined_resource())
    token = next((found for url in resources if (found := find_valid_token(bearer, resource=url))), None)
    if token is None or token.application_id != application.pk or INVOKE_SCOPE not in token.scope.split():
        raise OAuthError(
            "invalid_grant",
            "The subject token has ended, or is not this application's own access token for this integration.",
        )
    with transaction.atomic():
        _hold_access(application, token)
    return token


def _hold_access(application: Application, token: IssuedToken) -> None:
    """Make sure that nothing ended meanwhile, and nothing will before this transaction does. Raises OAuthError."""
    is_active = hold_still(Application.objects.usable().filter(pk=application.pk))
    if token.user_id is not None:
        members = Membership.objects.active().filter(organization=token.organization_id, user=token.user_id)
        consents = Delegation.objects.usable().filter(application=application, user=token.user_id)
        # Tokens tell their time in whole seconds.
        until = token.issued_at + dt.timedelta(seconds=1)
        is_active = is_active and hold_still(members) and hold_still(consents.filter(granted_at__lt=until))
    live = IssuedToken.objects.filter(pk=token.pk, revoked_at__isnull=True, expires_at__gt=timezone.now())
    if not is_active or not hold_still(live):
        raise OAuthError("invalid_grant", "What the subject token stands for has ended: get a new one.")


def _refuse_paused(exchange: _Exchange) -> None:
    """Raise RefusedError, with its event, where the person has paused the application."""
    try:
        _check_not_paused(exchange)
    except RefusedError:
        exchange.record("denied", "denied", code=_PAUSED)
        raise


def _check_not_paused(exchange: _Exchange) -> None:
    consents = Delegation.objects.usable().filter(application=exchange.application, user=exchange.user)
    if exchange.user is not None and consents.filter(paused_at__isnull=False).exists():
        page = f"{settings.PUBLIC_URL}/applications/{exchange.application.pk}/"
        text = f"{exchange.user} has paused {exchange.application}: they can resume it at {page}"
        raise RefusedError("access_denied", text, kontext=_PAUSED, uri=page, status=403)


def _decide(exchange: _Exchange, request: HttpRequest) -> Decision:
    """Ask the rules about `issue_credential`. Raises RefusedError where they deny it; what they ask about goes on."""
    decision = simulate(
        organization=exchange.integration.organization,
        user=exchange.user,
        application=exchange.application,
        capability=Capability(
            integration=exchange.integration, name=ISSUE_CREDENTIAL, klass=Capability.Klass.DESTRUCTIVE
        ),
        arguments={},
        source_address=get_source_address(request) or "",
    )
    if decision.effect is Effect.DENY:
        exchange.record("denied", "denied", decision=decision, code="kontext_policy_denied")
        raise RefusedError("access_denied", decision.explain()["sentence"], kontext="kontext_policy_denied", status=403)
    return decision


def _use_approvals(exchange: _Exchange, decision: Decision) -> list[str]:
    """Return the approvals by which this passes. Raises RefusedError, with the page where somebody gives one."""
    try:
        rows = use_approvals(asked=_make_asked(exchange, decision))
    except (ApprovalDeniedError, ApprovalImpossibleError) as error:
        raise _refuse_unapproved(exchange, decision, str(error)) from None
    waiting = next((row for row in rows if row.status == Approval.Status.PENDING), None)
    if waiting is not None:
        text = f"This has to be approved first, by {name_answerer(waiting)} (code {waiting.code})."
        raise _refuse_unapproved(exchange, decision, text, uri=get_link(waiting))
    return [str(row.pk) for row in rows]


def _refuse_unapproved(exchange: _Exchange, decision: Decision, text: str, *, uri: str = "") -> RefusedError:
    code = "kontext_approval_required"
    exchange.record("denied", "denied", decision=decision, code=code)
    return RefusedError("access_denied", text, kontext=code, uri=uri, status=403)


def _make_asked(exchange: _Exchange, decision: Decision) -> AskedCall:
    integration, user = exchange.integration, exchange.user
    key = derive_key(integration.organization_id, "arguments-digest")
    consent = Delegation.objects.usable().filter(application=exchange.application, user=user).first()
    return AskedCall(
        organization_id=integration.organization_id,
        user_id=user.pk if user is not None else None,
        application_id=exchange.application.pk,
        integration_id=integration.pk,
        kind=Capability.Kind.TOOL,
        capability=ISSUE_CREDENTIAL,
        klass=Capability.Klass.DESTRUCTIVE,
        arguments=_NO_ARGUMENTS,
        arguments_digest=hmac.new(key, _NO_ARGUMENTS, "sha256").hexdigest(),
        questions=decision.get_questions(),
        policy_version=decision.version,
        call=exchange.call,
        since=consent.granted_at.timestamp() if consent is not None else 0.0,
        actor=make_actor(user=user, application=exchange.application),
    )


def _take_limits(exchange: _Exchange, decision: Decision) -> Decision:
    """Count a use of each limit that the decision relies on. Raises RefusedError where one is used up."""
    taken = take_uses(organization_id=exchange.integration.organization_id, decision=decision)
    if taken.effect is decision.effect:
        return taken
    exchange.record("denied", "denied", decision=taken, code="kontext_limit_reached")
    until = min((taken.call.spent or {}).values())
    raise RefusedError(
        "access_denied",
        taken.explain()["sentence"],
        kontext="kontext_limit_reached",
        status=429,
        retry_after=max(1, math.ceil(until - time.time())),
    )


def _get_connection(exchange: _Exchange, decision: Decision) -> Connection:
    integration = exchange.integration
    is_shared = integration.auth_mode == Integration.AuthMode.SERVER_TOKEN
    if not is_shared and exchange.user is None:
        raise OAuthError("invalid_target", f"{integration.name} is used with a person's account: send their token.")
    connection = Connection.objects.filter(integration=integration, user=None if is_shared else exchange.user).first()
    if connection is None or connection.status in (Connection.Status.PENDING, Connection.Status.REVOKED):
        exchange.record("denied", "error_auth", decision=decision, code="kontext_integration_connection_required")
        raise _make_required(exchange, f"{integration.name} is not connected: connect it first.")
    return connection


def _obtain(exchange: _Exchange, connection: Connection) -> UsableCredential:
    try:
        return get_credential(connection_id=connection.pk, deadline=time.monotonic() + _SECONDS)
    except ReauthorizationRequiredError as error:
        exchange.record("completed", "error_auth", code=error.code)
        raise _make_required(exchange, say(error)) from None
    except ConnectionsError as error:
        exchange.record("completed", "error_remote", code=error.code)
        raise OAuthError(
            "temporarily_unavailable", "The credential could not be renewed just now: try again.", status=503
        ) from None


def _release(exchange: _Exchange, credential: UsableCredential) -> None:
    """Write down that the credential leaves, unless something that it depends on has ended while it was obtained."""
    try:
        with transaction.atomic():
            _hold_access(exchange.application, exchange.token)
            _check_not_paused(exchange)
            exchange.record("completed", "ok", credential=credential)
    except RefusedError:
        exchange.record("completed", "denied", code=_PAUSED)
        raise
    except OAuthError:
        exchange.record("completed", "error_auth", code="kontext_authorization_required")
        raise


def _make_required(exchange: _Exchange, description: str) -> RefusedError:
    uri = ""
    if exchange.user is not None and exchange.integration.auth_mode in CONNECTABLE:
        try:
            uri = begin_connect(
                user=exchange.user, integration=exchange.integration, application=exchange.application
            ).url
        except (ConnectionsError, ValidationError):
            uri = ""  # the refusal stands without it
    code = "kontext_integration_connection_required"
    return RefusedError("integration_required", description, kontext=code, uri=uri)


def _make_answer(integration: Integration, connection: Connection, credential: UsableCredential) -> dict[str, Any]:
    recipe = integration.recipe
    answer: dict[str, Any] = {
        "access_token": credential.secret,
        "issued_token_type": ACCESS_TOKEN,
        # N_A: not to be sent as a bearer token (RFC 8693 §2.2.1); how the key is sent is the integration's own matter.
        "token_type": "Bearer" if recipe.is_bearer else "N_A",
        "scope": " ".join(connection.scopes),
    }
    if not recipe.is_bearer or recipe.extra:
        answer["headers"] = credential.headers
    if credential.values:
        answer["parameters"] = credential.values
        answer["url"] = fill(integration.url, credential.values)
    if credential.expires_at is not None:
        answer["expires_in"] = max(0, int((credential.expires_at - timezone.now()).total_seconds()))
    return answer
