"""Refresh tokens rotate; one that comes twice ends its family (THREATS 15)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from oauth2_provider.models import get_refresh_token_model

from audit.models import AuditEvent
from orgs.models import Delegation, IssuedToken
from tests.factories import Cast, make_application, make_cast
from tests.orgs.oauth.conftest import GITHUB, OAuth, get_claims


@pytest.fixture
def tokens(oauth: OAuth, cast: Cast) -> dict[str, Any]:
    oauth.sign_in(cast.alice)
    return oauth.get_tokens(cast.pr_bot)


def test_refresh_rotates_and_keeps_the_audience(oauth: OAuth, cast: Cast, tokens: dict[str, Any]) -> None:
    status, answer = oauth.refresh(cast.pr_bot, tokens["refresh_token"])

    assert status == 200
    assert answer["refresh_token"] != tokens["refresh_token"]
    claims = get_claims(answer["access_token"])[1]
    assert (claims["aud"], claims["sub"]) == (GITHUB, str(cast.alice.pk))
    former = IssuedToken.objects.get(jti=get_claims(tokens["access_token"])[1]["jti"])
    assert former.revoked_at is not None
    assert IssuedToken.objects.get(jti=claims["jti"]).revoked_at is None


def test_refresh_twice_with_one_token_ends_the_family(oauth: OAuth, cast: Cast, tokens: dict[str, Any]) -> None:
    _, second = oauth.refresh(cast.pr_bot, tokens["refresh_token"])
    _, third = oauth.refresh(cast.pr_bot, second["refresh_token"])

    status, answer = oauth.refresh(cast.pr_bot, tokens["refresh_token"])

    assert (status, answer["error"]) == (400, "invalid_grant")
    assert not IssuedToken.objects.filter(revoked_at=None).exists()
    assert oauth.refresh(cast.pr_bot, third["refresh_token"])[0] == 400
    assert AuditEvent.objects.filter(type="token.revoked", details__reason="refresh_token_reuse").exists()


def test_refresh_for_another_resource_is_refused(oauth: OAuth, cast: Cast, tokens: dict[str, Any]) -> None:
    status, answer = oauth.refresh(cast.pr_bot, tokens["refresh_token"], resource=f"{GITHUB}x")
    assert (status, answer["error"]) == (400, "invalid_target")
    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[0] == 200


def test_refresh_with_more_scopes_is_refused(oauth: OAuth, cast: Cast, tokens: dict[str, Any]) -> None:
    status, answer = oauth.refresh(cast.pr_bot, tokens["refresh_token"], scope="mcp:invoke management:all")
    assert (status, answer["error"]) == (400, "invalid_scope")


def test_refresh_by_another_client_is_refused(oauth: OAuth, cast: Cast, tokens: dict[str, Any]) -> None:
    thief = make_application(cast.acme, "Thief")
    assert oauth.refresh(thief, tokens["refresh_token"])[1]["error"] == "invalid_grant"


def test_refresh_after_the_consent_ended_is_refused(oauth: OAuth, cast: Cast, tokens: dict[str, Any]) -> None:
    Delegation.objects.update(expires_at=timezone.now())
    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[1]["error"] == "invalid_grant"


def test_refresh_after_the_person_was_suspended_is_refused(oauth: OAuth, cast: Cast, tokens: dict[str, Any]) -> None:
    cast.alice.is_active = False
    cast.alice.save()
    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[1]["error"] == "invalid_grant"


def test_refresh_after_the_application_lost_the_integration_is_refused(
    oauth: OAuth, cast: Cast, tokens: dict[str, Any]
) -> None:
    cast.pr_bot.application_integrations.all().delete()
    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[1]["error"] == "invalid_target"


@pytest.mark.django_db(transaction=True)
def test_refresh_at_the_same_moment_never_yields_two_live_families(oauth: OAuth) -> None:
    cast = make_cast()
    oauth.sign_in(cast.alice)
    tokens = oauth.get_tokens(cast.pr_bot)
    answers: list[tuple[int, dict[str, Any]]] = []

    def refresh() -> None:
        answers.append(oauth.refresh(cast.pr_bot, tokens["refresh_token"]))
        connection.close()

    threads = [threading.Thread(target=refresh) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(status for status, _ in answers) == [200, 400, 400, 400]
    assert all(answer["access_token"] for status, answer in answers if status == 200)
    assert not get_refresh_token_model().objects.filter(revoked=None).exists()
    assert not IssuedToken.objects.filter(revoked_at=None).exists()
