"""Who gets in: a person's token for exactly this API with its scope, and nobody else."""

from __future__ import annotations

import datetime as dt

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from orgs.limits import Limit
from orgs.models import Application, Membership
from orgs.services.pause_delegation import pause_delegation, resume_delegation
from tests.api.conftest import Api, assert_error, issue_token
from tests.factories import Cast, make_delegation

pytestmark = pytest.mark.django_db
METADATA = f"{settings.PUBLIC_URL}/.well-known/oauth-protected-resource/api/v1"


def test_request_without_token_is_led_to_one(cast: Cast) -> None:
    answer = Api("", cast.pr_bot).get("/applications")
    assert_error(answer, 401, "kontext_authorization_required")
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge == f'Bearer resource_metadata="{METADATA}", scope="management:all"'
    document = Client().get("/.well-known/oauth-protected-resource/api/v1").json()
    assert document["resource"] == f"{settings.PUBLIC_URL}/api/v1"
    assert document["authorization_servers"] == [settings.PUBLIC_URL]
    assert document["scopes_supported"] == ["management:all"]


def test_request_with_session_alone_is_refused(cast: Cast) -> None:
    browser = Client()
    browser.force_login(cast.carol, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.get("/api/v1/applications").status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": f"{settings.PUBLIC_URL}/api/v1/"},
        {"resource": f"{settings.GATEWAY_URL}/mcp/github"},
        {"expires_at": timezone.now() - dt.timedelta(seconds=1)},
        {"revoked_at": timezone.now()},
    ],
    ids=["prefix", "gateway", "expired", "revoked"],
)
def test_request_with_token_that_is_not_good_here_is_refused(cast: Cast, changes: dict[str, object]) -> None:
    answer = Api(issue_token(cast.pr_bot, cast.carol, **changes), cast.pr_bot).get("/applications")
    assert_error(answer, 401, "kontext_authorization_required")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("token", ["zzz", "z" * 5000, "e30.e30.e30"])
def test_request_with_invented_token_is_refused_without_repeating_it(cast: Cast, token: str) -> None:
    answer = Api(token, cast.pr_bot).get("/applications")
    assert_error(answer, 401, "kontext_authorization_required")
    assert token not in answer.text


@pytest.mark.parametrize("scope", ["openid", "mcp:invoke", "", "management:all2"])
def test_request_without_the_scope_is_refused(cast: Cast, scope: str) -> None:
    answer = Api(issue_token(cast.pr_bot, cast.carol, scope=scope), cast.pr_bot).get("/applications")
    assert_error(answer, 403, "kontext_insufficient_scope")
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_request_without_a_person_is_refused(cast: Cast) -> None:
    answer = Api(issue_token(cast.pr_bot, None), cast.pr_bot).get("/applications")
    assert_error(answer, 401, "kontext_authorization_required")


def test_request_after_the_person_left_is_refused(cast: Cast, carol: Api) -> None:
    assert carol.get("/applications").status == 200
    Membership.objects.filter(user=cast.carol).update(status="suspended")
    assert_error(carol.get("/applications"), 401, "kontext_authorization_required")


def test_request_through_suspended_application_is_refused(cast: Cast, carol: Api) -> None:
    Application.objects.filter(pk=carol.application.pk).update(status="suspended")
    assert_error(carol.get("/applications"), 401, "kontext_authorization_required")


def test_request_after_the_role_ended_is_refused(cast: Cast, carol: Api) -> None:
    Membership.objects.filter(user=cast.carol).update(role="member")
    assert_error(carol.get("/applications"), 403, "kontext_forbidden")


def test_many_bad_tokens_are_slowed_down_and_good_ones_are_not(cast: Cast, carol: Api) -> None:
    stranger = Api("guess", cast.pr_bot)
    answers = [stranger.get("/applications") for _ in range(62)]
    assert_error(answers[-1], 429, "kontext_rate_limited")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert carol.get("/applications").status == 200


def test_too_many_requests_are_answered_with_when_to_retry(carol: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgs.api.base.REQUESTS", Limit("management-requests", uses=2))
    answers = [carol.get("/applications") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert_error(answers[-1], 429, "kontext_rate_limited")
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_answers_are_never_cached(carol: Api) -> None:
    for answer in (carol.get("/applications"), carol.get("/applications", limit=0)):
        assert answer.headers["Cache-Control"] == "no-store"


def test_request_of_a_paused_application_is_refused_and_says_where_to_resume(cast: Cast) -> None:
    delegation = make_delegation(cast.pr_bot, cast.carol)
    api = Api(issue_token(cast.pr_bot, cast.carol), cast.pr_bot)
    assert api.get("/applications").status == 200
    pause_delegation(delegation=delegation)
    answer = api.get("/applications")
    assert_error(answer, 403, "kontext_delegation_paused")
    assert f"/applications/{cast.pr_bot.pk}/" in answer.json["message"]
    assert "WWW-Authenticate" not in answer.headers
    resume_delegation(delegation=delegation)
    assert api.get("/applications").status == 200
