"""RFC 6749 §4.1 with PKCE (RFC 7636), and what a thief of codes gets (THREATS 11, 13, 14)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from oauth2_provider.models import get_grant_model

from audit.models import AuditEvent
from orgs.models import Application, Delegation, IssuedToken
from tests.factories import Cast, make_application
from tests.orgs.oauth.conftest import GITHUB, REDIRECT_URI, OAuth, Proof, get_claims, get_parameters

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _alice_is_signed_in(oauth: OAuth, cast: Cast) -> None:
    Delegation.objects.all().delete()
    oauth.sign_in(cast.alice)


def test_flow_returns_a_token_for_alice_at_the_resource(oauth: OAuth, cast: Cast) -> None:
    answer = oauth.get_tokens(cast.pr_bot)

    _, claims = get_claims(answer["access_token"])
    assert claims["sub"] == str(cast.alice.pk)
    assert (claims["aud"], claims["client_id"], claims["org"]) == (GITHUB, cast.pr_bot.client_id, str(cast.acme.pk))
    assert answer["scope"] == "mcp:invoke"
    assert "refresh_token" in answer
    delegation = Delegation.objects.get(application=cast.pr_bot)
    assert (delegation.user, delegation.resources, delegation.redirect_host) == (cast.alice, [GITHUB], "127.0.0.1")
    assert claims["iat"] >= delegation.granted_at.timestamp()
    assert set(AuditEvent.objects.values_list("type", flat=True)) == {"delegation.granted", "token.issued"}


def test_answer_names_its_issuer_and_returns_state(oauth: OAuth, cast: Cast) -> None:
    answer = get_parameters(oauth.authorize(cast.pr_bot))
    assert (answer["iss"], answer["state"]) == (settings.PUBLIC_URL, "xyz")


def test_error_names_its_issuer_too(oauth: OAuth, cast: Cast) -> None:
    answer = get_parameters(oauth.authorize(cast.pr_bot, resource="https://elsewhere.test/mcp"))
    assert (answer["iss"], answer["state"], answer["error"]) == (settings.PUBLIC_URL, "xyz", "invalid_target")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unauthorized_client"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"resource": None}, "invalid_target"),
        ({"resource": f"{GITHUB}/"}, "invalid_target"),
        ({"resource": GITHUB.upper()}, "invalid_target"),
        ({"resource": [GITHUB, "https://elsewhere.test/"]}, "invalid_target"),
        ({"nonce": "n" * 300}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
    ],
)
def test_authorize_with_unacceptable_request_tells_the_application(
    oauth: OAuth, cast: Cast, changes: dict[str, Any], error: str
) -> None:
    response = oauth.authorize(cast.pr_bot, **changes)

    answer = get_parameters(response)
    assert answer["error"] == error
    assert answer["iss"] == settings.PUBLIC_URL
    assert "code" not in answer
    assert not get_grant_model().objects.exists()


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://app.test/cb?x=1",
        "https://app.test/cb;p=1",
        "https://app.test/cb/",
        "https://app.test/CB",
        "https://APP.test/cb",
        "HTTPS://app.test/cb",
        "https://app.test:444/cb",
        "https://app.test:443/cb",
        "https://u@app.test/cb",
        "https://app.test/cb#f",
        "https://app.test/cb#",
        "https://app.test/cb?",
        "http://app.test/cb",
        "https://app.test.evil.test/cb",
        "https://app.test%2f@evil.test/cb",
        "//app.test/cb",
        "javascript:alert(1)",
        "http://127.0.0.1:1/other",
        "http://localhost/callback",
        "http://127.0.0.1@evil.test/callback",
        "http://127.0.0.1:1@evil.test/callback",
        "http://127.0.0.1:x/callback",
    ],
)
def test_authorize_with_unregistered_redirect_uri_redirects_nobody(oauth: OAuth, cast: Cast, redirect_uri: str) -> None:
    Application.objects.update(redirect_uris="https://app.test/cb http://127.0.0.1:7000/callback")
    response = oauth.authorize(cast.pr_bot, redirect_uri=redirect_uri)
    assert response.status_code == 400
    assert "Location" not in response


@pytest.mark.parametrize("port", ["", ":7000", ":65000"])
def test_authorize_with_another_loopback_port_is_fine(oauth: OAuth, cast: Cast, port: str) -> None:
    Application.objects.update(redirect_uris="http://127.0.0.1:7000/callback")
    response = oauth.authorize(cast.pr_bot, redirect_uri=f"http://127.0.0.1{port}/callback")
    assert response["Location"].startswith(f"http://127.0.0.1{port}/callback?code=")


def test_authorize_with_a_query_in_the_registered_uri_keeps_it(oauth: OAuth, cast: Cast) -> None:
    Application.objects.update(redirect_uris="https://app.test/cb?tenant=1&iss=x")
    response = oauth.authorize(cast.pr_bot, redirect_uri="https://app.test/cb?tenant=1&iss=x")
    answer = get_parameters(response)
    assert (answer["tenant"], answer["iss"]) == ("1", settings.PUBLIC_URL)
    assert response["Location"].count("iss=") == 1


def test_authorize_for_application_of_another_organization_reveals_nothing(oauth: OAuth, cast: Cast) -> None:
    Application.objects.update(redirect_uris=REDIRECT_URI)
    other = oauth.authorize(cast.spy_bot)
    unknown = oauth.browser.get(oauth.get_authorize_url(cast.spy_bot, client_id="app_unknown"))

    assert other.status_code == unknown.status_code == 400
    for hidden in (cast.spy_bot.name, cast.globex.name, str(cast.spy_bot.pk)):
        assert hidden not in other.content.decode()


def test_authorize_without_login_leads_to_login(cast: Cast, oauth: OAuth) -> None:
    url = oauth.get_authorize_url(cast.pr_bot)
    response = Client().get(url)
    assert response.status_code == 302
    assert response["Location"].startswith("/signin/?next=/oauth2/authorize")


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "scope"])
def test_authorize_with_repeated_parameter_is_refused(oauth: OAuth, cast: Cast, name: str) -> None:
    url = oauth.get_authorize_url(cast.pr_bot)
    assert oauth.browser.get(f"{url}&{name}=x").status_code == 400


@pytest.mark.parametrize("junk", ["%00", "client_id=%ff%fe", "a=%zz", "client_id=\x00"])
def test_authorize_with_junk_is_refused(oauth: OAuth, junk: str) -> None:
    assert oauth.browser.get(f"/oauth2/authorize?{junk}").status_code == 400


def test_redeem_with_wrong_verifier_is_refused(oauth: OAuth, cast: Cast) -> None:
    code = oauth.get_code(cast.pr_bot, Proof())
    status, answer = oauth.redeem(cast.pr_bot, code, Proof())
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert not IssuedToken.objects.exists()


def test_redeem_without_verifier_is_refused(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    status, answer = oauth.redeem(cast.pr_bot, code, proof, code_verifier=None)
    assert (status, answer["error"]) == (400, "invalid_request")


def test_redeem_with_another_redirect_uri_is_refused(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    status, _ = oauth.redeem(cast.pr_bot, code, proof, redirect_uri="http://127.0.0.1:9/callback")
    assert status == 400
    assert not IssuedToken.objects.exists()


def test_flow_without_redirect_uri_uses_the_only_one_registered(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    response = oauth.authorize(cast.pr_bot, proof, redirect_uri=None)
    assert response["Location"].startswith(f"{REDIRECT_URI}?")
    code = get_parameters(response)["code"]
    status, answer = oauth.redeem(cast.pr_bot, code, proof, redirect_uri=None)
    assert status == 200, answer


def test_flow_without_redirect_uri_is_refused_where_several_are_registered(oauth: OAuth, cast: Cast) -> None:
    Application.objects.update(redirect_uris=f"{REDIRECT_URI} https://app.test/cb")
    assert oauth.authorize(cast.pr_bot, redirect_uri=None).status_code == 400


def test_redeem_by_another_client_is_refused(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    thief = make_application(cast.acme, "Thief")
    status, answer = oauth.redeem(thief, code, proof)
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert oauth.redeem(cast.pr_bot, code, proof)[0] == 200


def test_redeem_twice_is_refused_and_ends_what_the_first_got(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    _, first = oauth.redeem(cast.pr_bot, code, proof)

    status, answer = oauth.redeem(cast.pr_bot, code, proof)

    assert (status, answer["error"]) == (400, "invalid_grant")
    assert IssuedToken.objects.get().revoked_at is not None
    assert oauth.refresh(cast.pr_bot, first["refresh_token"])[0] == 400
    assert AuditEvent.objects.get(type="token.revoked", details__reason="code_replay")


@pytest.mark.django_db(transaction=True)
def test_redeem_at_the_same_moment_yields_one_token_at_most(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    statuses: list[int] = []

    def redeem() -> None:
        statuses.append(oauth.redeem(cast.pr_bot, code, proof)[0])
        connection.close()

    threads = [threading.Thread(target=redeem) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400, 400, 400]
    assert IssuedToken.objects.count() == 1
    assert IssuedToken.objects.filter(revoked_at=None).count() == 0  # a code that came twice is worth nothing


def test_redeem_after_the_code_expired_is_refused(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    get_grant_model().objects.update(expires="2020-01-01T00:00:00Z")
    assert oauth.redeem(cast.pr_bot, code, proof)[0] == 400


def test_redeem_after_alice_left_is_refused(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    cast.alice.memberships.update(status="suspended")
    status, answer = oauth.redeem(cast.pr_bot, code, proof)
    assert (status, answer["error"]) == (400, "invalid_grant")


def test_redeem_with_a_stray_parameter_of_the_toolkit_changes_nothing(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    stray = {"refresh_token_instance": "x", "user": str(cast.carol.pk), "scopes": "management:all", "client": "x"}
    status, answer = oauth.redeem(cast.pr_bot, code, proof, **stray)
    assert status == 200, answer
    assert get_claims(answer["access_token"])[1]["sub"] == str(cast.alice.pk)


def test_application_without_refresh_grant_gets_no_refresh_token(oauth: OAuth, cast: Cast) -> None:
    Application.objects.filter(pk=cast.pr_bot.pk).update(grant_types=["authorization_code"])
    assert "refresh_token" not in oauth.get_tokens(cast.pr_bot)


def test_codes_and_tokens_are_not_kept_in_clear(oauth: OAuth, cast: Cast) -> None:
    from oauth2_provider.models import get_access_token_model, get_refresh_token_model

    oauth.get_tokens(cast.pr_bot)
    assert get_access_token_model().objects.get().token == ""
    assert get_refresh_token_model().objects.get().token == ""
    assert not get_grant_model().objects.exists()


def test_openid_scope_brings_an_id_token(oauth: OAuth, cast: Cast) -> None:
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof, scope="openid email profile mcp:invoke", nonce="n-1")
    _, answer = oauth.redeem(cast.pr_bot, code, proof)
    header, claims = get_claims(answer["id_token"])
    assert header["alg"] == "ES256"
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (settings.PUBLIC_URL, cast.pr_bot.client_id, "n-1")
    assert (claims["sub"], claims["email"], claims["name"]) == (str(cast.alice.pk), cast.alice.email, cast.alice.name)


def test_openid_scope_alone_opens_userinfo_and_nothing_else(oauth: OAuth, cast: Cast) -> None:
    answer = oauth.get_tokens(cast.pr_bot, scope="openid email", resource=None)
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert get_claims(answer["access_token"])[1]["aud"] == f"{settings.PUBLIC_URL}/oauth2/userinfo"
    claims = Client().get("/oauth2/userinfo", headers=bearer).json()
    assert claims == {"sub": str(cast.alice.pk), "email": cast.alice.email}


def test_userinfo_with_a_token_for_the_gateway_is_refused(oauth: OAuth, cast: Cast) -> None:
    answer = oauth.get_tokens(cast.pr_bot, scope="openid mcp:invoke")
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert Client().get("/oauth2/userinfo", headers=bearer).status_code == 401


def test_nothing_secret_is_logged_even_at_debug(oauth: OAuth, cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    proof = Proof()
    code = oauth.get_code(cast.pr_bot, proof)
    _, tokens = oauth.redeem(cast.pr_bot, code, proof)
    oauth.redeem(cast.pr_bot, code, proof)
    oauth.refresh(cast.pr_bot, tokens["refresh_token"])
    for secret in (code, proof.verifier, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in caplog.text
