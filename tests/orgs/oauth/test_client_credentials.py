"""RFC 6749 §4.4, and the shape of access tokens (RFC 9068)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.conf import settings

from audit.models import AuditEvent
from orgs.models import Application, IssuedToken
from orgs.oauth.resources import get_decision_resource
from orgs.oauth.tokens import get_checksum
from tests.factories import Cast, allow_integration, make_application
from tests.orgs.oauth.conftest import GITHUB, OAuth, get_basic, get_claims

pytestmark = pytest.mark.django_db
SECRET = "s3cret-" * 8


@pytest.fixture
def robot(cast: Cast) -> Application:
    """An application of Acme that acts for itself."""
    application = make_application(
        cast.acme,
        "Robot",
        client_type=Application.CLIENT_CONFIDENTIAL,
        client_secret=SECRET,
        grant_types=["client_credentials"],
        redirect_uris="",
    )
    allow_integration(application, cast.github)
    return application


def test_issue_with_secret_returns_an_rfc_9068_token(oauth: OAuth, cast: Cast, robot: Application) -> None:
    status, answer = oauth.post_token(
        grant_type="client_credentials", resource=GITHUB, headers=get_basic(robot, SECRET)
    )

    assert status == 200, answer
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 600
    assert "refresh_token" not in answer
    header, claims = get_claims(answer["access_token"])
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    assert claims == {
        "iss": settings.PUBLIC_URL,
        "aud": GITHUB,
        "sub": str(robot.pk),
        "client_id": robot.client_id,
        "org": str(cast.acme.pk),
        "scope": "mcp:invoke",
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["iat"] + 600,
    }
    assert abs(claims["iat"] - time.time()) < 5
    issued = IssuedToken.objects.get(jti=claims["jti"])
    assert (issued.user, issued.organization, issued.resource) == (None, cast.acme, GITHUB)
    assert issued.token_checksum == get_checksum(answer["access_token"])
    event = AuditEvent.objects.get(type="token.issued")
    assert (event.organization_id, event.application_id) == (cast.acme.pk, robot.pk)
    assert answer["access_token"] not in str(event.details)
    assert event.request_id


def test_issue_by_secret_in_the_body_works(oauth: OAuth, robot: Application) -> None:
    status, _ = oauth.post_token(
        grant_type="client_credentials", resource=GITHUB, client_id=robot.client_id, client_secret=SECRET
    )
    assert status == 200


@pytest.mark.parametrize("secret", ["wrong", "", SECRET + "x"])
def test_issue_with_wrong_secret_is_refused_and_recorded(oauth: OAuth, robot: Application, secret: str) -> None:
    status, answer = oauth.post_token(
        grant_type="client_credentials", resource=GITHUB, headers=get_basic(robot, secret)
    )

    assert (status, answer["error"]) == (401, "invalid_client")
    assert not IssuedToken.objects.exists()
    event = AuditEvent.objects.get(type="token.refused")
    assert event.application_id == robot.pk
    assert event.details["reason"] == "invalid_client"
    assert SECRET not in str(event.__dict__)


def test_issue_to_public_application_is_refused(oauth: OAuth, cast: Cast) -> None:
    public = make_application(cast.acme, grant_types=["client_credentials"], client_secret="")
    allow_integration(public, cast.github)
    forms: list[dict[str, Any]] = [{}, {"client_secret": ""}, {"client_secret": "x"}]
    for form in forms:
        status, answer = oauth.post_token(
            grant_type="client_credentials", resource=GITHUB, client_id=public.client_id, **form
        )
        assert (status, answer["error"]) == (401, "invalid_client")
    assert not IssuedToken.objects.exists()


def test_issue_without_the_grant_type_is_refused(oauth: OAuth, robot: Application) -> None:
    Application.objects.update(grant_types=["authorization_code"])
    status, answer = oauth.post_token(
        grant_type="client_credentials", resource=GITHUB, headers=get_basic(robot, SECRET)
    )
    assert (status, answer["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize("status", ["pending", "suspended"])
def test_issue_to_inactive_application_is_refused(oauth: OAuth, robot: Application, status: str) -> None:
    Application.objects.update(status=status)
    code, answer = oauth.post_token(grant_type="client_credentials", resource=GITHUB, headers=get_basic(robot, SECRET))
    assert (code, answer["error"]) == (401, "invalid_client")


def test_issue_in_suspended_organization_is_refused(oauth: OAuth, cast: Cast, robot: Application) -> None:
    cast.acme.status = "suspended"
    cast.acme.save()
    code, _ = oauth.post_token(grant_type="client_credentials", resource=GITHUB, headers=get_basic(robot, SECRET))
    assert code == 401


@pytest.mark.parametrize("scope", ["management:all", "openid", "everything"])
def test_issue_of_a_persons_scope_is_refused(oauth: OAuth, robot: Application, scope: str) -> None:
    status, answer = oauth.post_token(
        grant_type="client_credentials", resource=GITHUB, scope=scope, headers=get_basic(robot, SECRET)
    )
    assert (status, answer["error"]) == (400, "invalid_scope")


def test_secret_is_hashed_at_rest(robot: Application) -> None:
    robot.refresh_from_db()
    assert SECRET not in robot.client_secret
    assert robot.client_secret.startswith("kontext_secret$")


def test_issue_for_decisions_needs_no_resource_and_is_for_them_alone(oauth: OAuth, robot: Application) -> None:
    status, answer = oauth.post_token(
        grant_type="client_credentials", scope="access:evaluate", headers=get_basic(robot, SECRET)
    )
    assert (status, answer["scope"]) == (200, "access:evaluate")
    assert get_claims(answer["access_token"])[1]["aud"] == get_decision_resource()
    status, answer = oauth.post_token(
        grant_type="client_credentials", scope="access:evaluate", resource=GITHUB, headers=get_basic(robot, SECRET)
    )
    assert (status, answer["error"]) == (400, "invalid_target")


def test_issue_for_decisions_to_self_registered_application_is_refused(oauth: OAuth, robot: Application) -> None:
    Application.objects.filter(pk=robot.pk).update(registration_source="dcr")
    status, answer = oauth.post_token(
        grant_type="client_credentials", scope="access:evaluate", headers=get_basic(robot, SECRET)
    )
    assert (status, answer["error"]) == (400, "invalid_scope")
