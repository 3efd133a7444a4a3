"""RFC 7009 revocation and RFC 7662 introspection; limits on guessing (THREATS 42)."""

from __future__ import annotations

import pytest
from django.test import Client

from audit.models import AuditEvent
from orgs.limits import Limit
from orgs.models import Application, IssuedToken
from orgs.oauth import views
from tests.factories import Cast, allow_integration, make_application
from tests.orgs.oauth.conftest import GITHUB, OAuth, get_basic

pytestmark = pytest.mark.django_db
SECRET = "s3cret-" * 8


@pytest.fixture
def confidential(cast: Cast) -> Application:
    application = make_application(
        cast.acme, "Server", client_type=Application.CLIENT_CONFIDENTIAL, client_secret=SECRET
    )
    allow_integration(application, cast.github)
    return application


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_revoke_ends_both_tokens(oauth: OAuth, cast: Cast, kind: str) -> None:
    oauth.sign_in(cast.alice)
    tokens = oauth.get_tokens(cast.pr_bot)

    response = oauth.post_as("/oauth2/revoke", cast.pr_bot, token=tokens[kind])

    assert response.status_code == 200
    assert IssuedToken.objects.get().revoked_at is not None
    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[0] == 400
    assert AuditEvent.objects.get(type="token.revoked", details__reason="client").application_id == cast.pr_bot.pk


def test_revoke_another_clients_token_changes_nothing(oauth: OAuth, cast: Cast) -> None:
    oauth.sign_in(cast.alice)
    tokens = oauth.get_tokens(cast.pr_bot)
    thief = make_application(cast.acme, "Thief")
    for kind in ("access_token", "refresh_token"):
        assert oauth.post_as("/oauth2/revoke", thief, token=tokens[kind]).status_code == 200
    assert IssuedToken.objects.get().revoked_at is None
    assert not AuditEvent.objects.filter(type="token.revoked").exists()


def test_revoke_unknown_token_succeeds(oauth: OAuth, cast: Cast) -> None:
    assert oauth.post_as("/oauth2/revoke", cast.pr_bot, token="unknown").status_code == 200


def test_revoke_with_wrong_secret_is_refused(oauth: OAuth, confidential: Application) -> None:
    assert oauth.post_as("/oauth2/revoke", confidential, "wrong", token="x").status_code == 401


def test_introspect_own_token_describes_it(oauth: OAuth, cast: Cast, confidential: Application) -> None:
    oauth.sign_in(cast.alice)
    url = oauth.get_authorize_url(confidential)
    oauth.browser.post(url, {"decision": "allow"})
    Application.objects.filter(pk=confidential.pk).update(grant_types=["client_credentials"])
    _, answer = oauth.post_token(
        grant_type="client_credentials", resource=GITHUB, headers=get_basic(confidential, SECRET)
    )

    described = oauth.post_as("/oauth2/introspect", confidential, SECRET, token=answer["access_token"]).json()

    assert described["active"] is True
    assert (described["aud"], described["client_id"]) == (GITHUB, confidential.client_id)


def test_introspect_by_others_says_inactive(oauth: OAuth, cast: Cast, confidential: Application) -> None:
    oauth.sign_in(cast.alice)
    token = oauth.get_tokens(cast.pr_bot)["access_token"]
    answer = oauth.post_as("/oauth2/introspect", confidential, SECRET, token=token).json()
    assert answer == {"active": False}
    assert oauth.post_as("/oauth2/introspect", cast.pr_bot, token=token).status_code == 401
    assert Client().post("/oauth2/introspect", {"token": token}).status_code == 401


def test_guessing_secrets_is_limited(oauth: OAuth, confidential: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "FAILURES", Limit("test-failures", uses=3))
    form = {"grant_type": "client_credentials", "resource": GITHUB}
    statuses = [oauth.post_token(**form, headers=get_basic(confidential, f"guess-{n}"))[0] for n in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    right = Client().post("/oauth2/token", form, headers=get_basic(confidential, SECRET))
    assert right.status_code == 429
    assert int(right["Retry-After"]) > 0


@pytest.mark.parametrize("path", ["token", "revoke", "introspect"])
def test_junk_is_refused_with_the_rfcs_error(path: str) -> None:
    url = f"/oauth2/{path}"
    assert Client().get(url).status_code == 405
    for response in (
        Client().post(url),
        Client().post(url, {"grant_type": "x\0y", "client_id": "\0", "token": "\0"}),
        Client().post(f"{url}?client_id=x", {"grant_type": "authorization_code"}),
        Client().post(url, b"\xff\xfe=%", content_type="application/x-www-form-urlencoded"),
        Client().post(url, "{}", content_type="application/json"),
        Client().post(url, {"grant_type": ["a", "b"], "client_id": "x"}),
        Client().post(url, {"token": "x"}, headers={"Authorization": "Basic !!!"}),
        Client().post(url, {"token": "x"}, headers={"Authorization": "Basic /////w=="}),
    ):
        assert response.status_code in (400, 401), (response.status_code, response.content)
        assert response.json()["error"]
        assert response["Cache-Control"] == "no-store"
        assert response["X-Request-ID"]
