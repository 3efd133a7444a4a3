"""What the toolkit asks while it answers a token request, answered more strictly than it would itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.core.cache import cache
from oauth2_provider.models import (
    get_access_token_model,
    get_grant_model,
    get_refresh_token_model,
)
from oauth2_provider.oauth2_validators import OAuth2Validator

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.locks import hold_still
from orgs.models import Application, Delegation, IssuedToken, Membership, User
from orgs.oauth.audience import choose_resource
from orgs.oauth.tokens import LIFETIME, AccessToken, get_checksum, make_access_token, sign_id_token
from orgs.services.end_tokens import end_token_family

Grant = get_grant_model()
Request = Any  # oauthlib.common.Request: it carries parameters, and what validation found out, as attributes
RefreshToken = get_refresh_token_model()


class Validator(OAuth2Validator):
    """Every method here runs inside one transaction a token request (orgs.oauth.views.TokenView)."""

    # Who the client is

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Accept a secret from confidential, active applications alone: a public one has none to prove."""
        if not super().authenticate_client(request, *args, **kwargs):
            return False
        client: Application = request.client
        return client.client_type == Application.CLIENT_CONFIDENTIAL and _holds_active(client)

    def authenticate_client_id(self, client_id: str, request: Request, *args: Any, **kwargs: Any) -> bool:
        known = super().authenticate_client_id(client_id, request, *args, **kwargs)
        return bool(known and _holds_active(request.client))

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Application, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        if grant_type == "client_credentials" and client.client_type != Application.CLIENT_CONFIDENTIAL:
            return False
        return client.allows_grant_type(grant_type)

    def validate_response_type(
        self, client_id: str, response_type: str, client: Application, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        return response_type == "code" and client.allows_grant_type("authorization_code")

    # OpenID Connect's prompt=none is answered by orgs.oauth.authorize, which knows about consents.

    def validate_silent_login(self, request: Request) -> bool:
        return True

    def validate_silent_authorization(self, request: Request) -> bool:
        return True

    # What it presents

    def validate_code(
        self, client_id: str, code: str, client: Application, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        codes = Grant.objects.filter(code=code, application=client)
        found = codes.first()
        may_act = found is not None and _holds_consent(client, found.user, since=found.created)
        # The lock makes a second redemption wait for the first, and then find nothing.
        grant = codes.select_for_update().first()
        if grant is None:
            _end_tokens_of_replayed_code(code, client)
            return False
        request.refresh_token_instance = None
        request.granted_resources = list(grant.resource)
        return may_act and super().validate_code(client_id, code, client, request, *args, **kwargs)

    def validate_refresh_token(
        self, refresh_token: str, client: Application, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        tokens = RefreshToken.objects.filter(token_checksum=get_checksum(refresh_token))
        found = tokens.first()
        may_act = found is not None and _holds_consent(client, found.user, since=found.created)
        # Of two requests with one token, the second waits here, finds it used, and ends the family.
        used = next((row for row in tokens.select_for_update() if row.revoked is not None), None)
        if used is not None:
            _record_reuse(used)
        if not super().validate_refresh_token(refresh_token, client, request, *args, **kwargs):
            return False
        request.granted_resources = list(request.refresh_token_instance.resource)
        return may_act

    def rotate_refresh_token(self, request: Request) -> bool:
        return True

    # What it gets

    def prepare_access_token(self, request: Request) -> AccessToken:
        """Decide the audience and the scopes, before anything is signed. Raises oauthlib's errors."""
        is_for_itself = request.grant_type == "client_credentials"
        user: User | None = None if is_for_itself else request.user
        granted = None if is_for_itself else request.granted_resources
        resource, scopes = choose_resource(request, granted=granted, user=user)
        request.resource = [resource.url]
        request.scopes = list(scopes)
        prepared = make_access_token(
            application=request.client,
            organization=request.client.organization,
            user=user,
            resource=resource.url,
            scopes=scopes,
        )
        request.prepared_token = prepared
        return prepared

    def _save_bearer_token(self, token: dict[str, Any], request: Request, *args: Any, **kwargs: Any) -> None:
        request.token_family = None
        super()._save_bearer_token(token, request, *args, **kwargs)
        if request.grant_type == "authorization_code":
            redeemed = (get_checksum(token["access_token"]), request.token_family)
            cache.set(_replay_key(request.code), redeemed, LIFETIME.total_seconds())

    def _check_and_set_request_resource(self, request: Request) -> None:
        """Leave alone what prepare_access_token decided."""

    def _create_access_token(
        self, expires: dt.datetime, request: Request, token: dict[str, Any], source_refresh_token: Any = None
    ) -> Any:
        prepared: AccessToken = request.prepared_token
        row = get_access_token_model()(
            user=prepared.user,
            scope=" ".join(prepared.scopes),
            expires=prepared.expires_at,
            application=prepared.application,
            source_refresh_token=source_refresh_token,
            resource=[prepared.resource],
        )
        self._set_token_value(row, token["access_token"])
        row.save()
        _record_issued(prepared, checksum=get_checksum(token["access_token"]), grant_type=request.grant_type)
        return row

    def _create_refresh_token(
        self, request: Request, refresh_token_code: str, access_token: Any, previous_refresh_token: Any
    ) -> Any:
        # The access token is for one resource; its refresh token stays good for all that were consented to.
        request.resource = request.granted_resources
        row = super()._create_refresh_token(request, refresh_token_code, access_token, previous_refresh_token)
        request.token_family = row.token_family
        return row

    def finalize_id_token(
        self, id_token: dict[str, Any], token: dict[str, Any], token_handler: Any, request: Request
    ) -> str:
        user: User = request.user
        issued: AccessToken = request.prepared_token
        claims = {
            **id_token,
            **get_identity_claims(user, request.scopes),
            "iss": settings.PUBLIC_URL,
            "exp": int(issued.expires_at.timestamp()),
        }
        if user.last_login is not None:
            claims["auth_time"] = int(user.last_login.timestamp())
        return sign_id_token(claims)

    # What ends

    def revoke_token(self, token: str, token_type_hint: str, request: Request, *args: Any, **kwargs: Any) -> None:
        known = _is_token_of(request.client, get_checksum(token))
        super().revoke_token(token, token_type_hint, request, *args, **kwargs)
        if known:
            _record(EventType.TOKEN_REVOKED, request.client, None, reason="client")


def get_identity_claims(user: User, scopes: list[str]) -> dict[str, Any]:
    """Return the claims about a person that these scopes open (OpenID Connect Core §5.4)."""
    claims: dict[str, Any] = {"sub": str(user.pk)}
    if "profile" in scopes and user.name:
        claims["name"] = user.name
    if "email" in scopes and user.email:
        claims["email"] = user.email
    return claims


def _holds_active(client: Application) -> bool:
    return hold_still(Application.objects.usable().filter(pk=client.pk))


def _holds_consent(client: Application, user: User, *, since: dt.datetime) -> bool:
    """Tell whether the person is still here and what they consented to then still stands, and keep it so."""
    membership = Membership.objects.active().filter(organization=client.organization_id, user=user)
    delegation = Delegation.objects.usable().filter(application=client, user=user, granted_at__lte=since)
    return hold_still(membership) and hold_still(delegation)


def _record_issued(token: AccessToken, *, checksum: str, grant_type: str) -> None:
    IssuedToken.objects.create(
        jti=token.jti,
        organization=token.organization,
        application=token.application,
        user=token.user,
        scope=" ".join(token.scopes),
        resource=token.resource,
        token_checksum=checksum,
        issued_at=token.issued_at,
        expires_at=token.expires_at,
    )
    details = {"jti": str(token.jti), "resource": token.resource, "scope": " ".join(token.scopes)}
    _record(EventType.TOKEN_ISSUED, token.application, token.user, grant_type=grant_type, **details)


def _record_reuse(used: Any) -> None:
    _record(EventType.TOKEN_REVOKED, used.application, used.user, reason="refresh_token_reuse")


def _record(event: EventType, application: Application, user: User | None, **details: str) -> None:
    actor = make_actor(user=user, application=application)
    record_event(type=event, organization_id=application.organization_id, actor=actor, details=details)


def _is_token_of(client: Application, checksum: str) -> bool:
    models = (get_access_token_model(), RefreshToken)
    return any(model.objects.filter(application=client, token_checksum=checksum).exists() for model in models)


def _end_tokens_of_replayed_code(code: str, client: Application) -> None:
    """End what a code was redeemed for when it comes a second time (RFC 6749 §4.1.2)."""
    checksum, family = cache.get(_replay_key(code)) or ("", None)
    issued = IssuedToken.objects.filter(token_checksum=checksum, application=client).first()
    if issued is not None and end_token_family(checksum, family):
        _record(EventType.TOKEN_REVOKED, client, issued.user, reason="code_replay")


def _replay_key(code: str) -> str:
    return f"oauth:redeemed:{get_checksum(code)}"
