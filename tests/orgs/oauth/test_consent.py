"""The consent page (THREATS 7, 10) and what ending a consent does."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_grant_model, get_refresh_token_model

from audit.models import AuditEvent
from orgs.models import Application, Delegation, IssuedToken, Membership
from orgs.services.revoke_delegation import revoke_delegation
from policy.models import Rule
from tests.factories import (
    Cast,
    allow_integration,
    make_application,
    make_connection,
    make_integration,
    make_rule,
)
from tests.orgs.oauth.conftest import GITHUB, OAuth, get_parameters

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _alice_is_signed_in(oauth: OAuth, cast: Cast) -> None:
    Delegation.objects.all().delete()
    oauth.sign_in(cast.alice)


def test_page_says_who_asks_for_what_and_where_it_leads(oauth: OAuth, cast: Cast) -> None:
    make_connection(cast.github, cast.alice, account="alice-gh")
    page = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot))

    text = page.content.decode()
    for shown in ("PR-Bot", "Carol Clark", "Acme Corp", "127.0.0.1", "Alice Adams", "create_issue", "alice-gh"):
        assert shown in text
    assert text.index("Change") < text.index("create_issue") < text.index("Destroy") < text.index("delete_repo")
    assert "Globex" not in text


def test_page_says_where_an_account_has_to_be_reconnected(oauth: OAuth, cast: Cast) -> None:
    make_connection(cast.github, cast.alice, account="alice-gh", status="reauthorization_required")
    text = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).content.decode()
    assert "you will be asked to reconnect" in text
    assert "As alice-gh" not in text


def test_page_cannot_be_framed_or_cached(oauth: OAuth, cast: Cast) -> None:
    page = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot))
    assert page["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert "no-store" in page["Cache-Control"]


def test_decision_without_csrf_token_is_refused(oauth: OAuth, cast: Cast) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast.alice)
    response = browser.post(oauth.get_authorize_url(cast.pr_bot), {"decision": "allow"})
    assert response.status_code == 403
    assert not Delegation.objects.exists()


def test_refusing_tells_the_application_and_grants_nothing(oauth: OAuth, cast: Cast) -> None:
    response = oauth.browser.post(oauth.get_authorize_url(cast.pr_bot), {"decision": "refuse"})
    answer = get_parameters(response)
    assert (answer["error"], answer["state"]) == ("access_denied", "xyz")
    assert not Delegation.objects.exists()
    assert not get_grant_model().objects.exists()
    assert AuditEvent.objects.get(type="delegation.refused").user_id == cast.alice.pk


def test_second_time_for_the_same_is_not_asked_again(oauth: OAuth, cast: Cast) -> None:
    oauth.authorize(cast.pr_bot)
    assert oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).status_code == 302


@pytest.mark.parametrize("change", ["application", "redirect host", "scope", "resource", "user", "prompt"])
def test_anything_new_is_asked_again(oauth: OAuth, cast: Cast, change: str) -> None:
    Application.objects.update(redirect_uris="http://127.0.0.1/callback https://app.test/callback")
    allow_integration(cast.pr_bot, make_integration(cast.acme, "linear"))
    other = make_application(cast.acme, "Other")
    allow_integration(other, cast.github)
    oauth.authorize(cast.pr_bot)
    if change == "user":
        oauth.sign_in(cast.bob)
    changes: dict[str, dict[str, Any]] = {
        "redirect host": {"redirect_uri": "https://app.test/callback"},
        "scope": {"scope": "mcp:invoke profile"},
        "resource": {"resource": GITHUB.replace("github", "linear")},
        "prompt": {"prompt": "consent"},
    }
    url = oauth.get_authorize_url(other if change == "application" else cast.pr_bot, **changes.get(change, {}))

    page = oauth.browser.get(url)

    assert page.status_code == 200
    assert "Let " in page.content.decode()


def test_expired_consent_is_asked_again(oauth: OAuth, cast: Cast) -> None:
    oauth.authorize(cast.pr_bot)
    Delegation.objects.update(expires_at=timezone.now())
    assert oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).status_code == 200
    oauth.authorize(cast.pr_bot)
    assert Delegation.objects.usable().count() == 1


def test_consent_for_a_day_expires(oauth: OAuth, cast: Cast) -> None:
    oauth.browser.post(oauth.get_authorize_url(cast.pr_bot), {"decision": "allow", "duration": "day"})
    expires_at = Delegation.objects.get().expires_at
    assert expires_at is not None
    assert 23 < (expires_at - timezone.now()).total_seconds() / 3600 <= 24


def test_more_scopes_extend_the_consent_without_ending_its_tokens(oauth: OAuth, cast: Cast) -> None:
    oauth.get_tokens(cast.pr_bot)
    oauth.get_tokens(cast.pr_bot, scope="mcp:invoke profile")
    assert Delegation.objects.get().scopes == ["mcp:invoke", "profile"]
    assert not IssuedToken.objects.exclude(revoked_at=None).exists()


def test_another_redirect_host_ends_the_former_consent(oauth: OAuth, cast: Cast) -> None:
    Application.objects.update(redirect_uris="http://127.0.0.1/callback https://app.test/callback")
    oauth.get_tokens(cast.pr_bot)
    oauth.authorize(cast.pr_bot, redirect_uri="https://app.test/callback")
    assert IssuedToken.objects.get().revoked_at is not None
    assert Delegation.objects.usable().get().redirect_host == "app.test"


def test_revoking_ends_every_token_at_once(oauth: OAuth, cast: Cast) -> None:
    tokens = oauth.get_tokens(cast.pr_bot)
    oauth.authorize(cast.pr_bot)  # a code not redeemed yet

    ended = revoke_delegation(delegation=Delegation.objects.get())

    assert ended == 1
    assert IssuedToken.objects.get().revoked_at is not None
    assert not get_refresh_token_model().objects.filter(revoked=None).exists()
    assert not get_grant_model().objects.exists()
    assert oauth.refresh(cast.pr_bot, tokens["refresh_token"])[1]["error"] == "invalid_grant"
    assert oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).status_code == 200
    event = AuditEvent.objects.get(type="delegation.revoked")
    assert event.details["access_tokens_ended"] == 1
    assert revoke_delegation(delegation=Delegation.objects.get()) == 0


def test_revoking_leaves_other_peoples_tokens_alone(oauth: OAuth, cast: Cast) -> None:
    oauth.get_tokens(cast.pr_bot)
    oauth.sign_in(cast.bob)
    oauth.get_tokens(cast.pr_bot)
    revoke_delegation(delegation=Delegation.objects.get(user=cast.alice))
    assert IssuedToken.objects.get(user=cast.bob).revoked_at is None


def test_silent_request_without_consent_is_told_so(oauth: OAuth, cast: Cast) -> None:
    response = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot, prompt="none"))
    assert get_parameters(response)["error"] == "consent_required"


def test_silent_request_without_login_is_told_so(oauth: OAuth, cast: Cast) -> None:
    response = Client().get(oauth.get_authorize_url(cast.pr_bot, prompt="none"))
    assert get_parameters(response)["error"] == "login_required"
    unknown = Client().get(oauth.get_authorize_url(cast.pr_bot, prompt="none", redirect_uri="https://evil.test/"))
    assert unknown.status_code == 400


def test_pending_application_gets_no_page_to_consent(oauth: OAuth, cast: Cast) -> None:
    Application.objects.filter(pk=cast.pr_bot.pk).update(status="pending")
    response = oauth.authorize(cast.pr_bot)
    assert response.status_code == 403
    assert "approve" in response.content.decode()
    assert not Delegation.objects.exists()


def test_person_without_organization_is_told_to_choose(oauth: OAuth, cast: Cast) -> None:
    cast.alice.memberships.update(status="suspended")
    response = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot))
    assert response.status_code == 403
    assert response["X-Request-ID"] in response.content.decode()
    silent = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot, prompt="none"))
    assert get_parameters(silent)["error"] == "interaction_required"


def test_person_in_two_organizations_consents_in_the_one_they_chose(oauth: OAuth, cast: Cast) -> None:
    Membership.objects.create(organization=cast.globex, user=cast.alice)
    url = oauth.get_authorize_url(cast.pr_bot)
    page = oauth.browser.get(url)
    assert "Which organization?" in page.content.decode()

    oauth.browser.post("/organization/", {"organization": str(cast.globex.pk), "next": url})
    assert oauth.browser.get(url).status_code == 400
    oauth.browser.post("/organization/", {"organization": str(cast.acme.pk), "next": url})
    assert "code" in get_parameters(oauth.authorize(cast.pr_bot))


def test_page_offers_rules_to_begin_with_as_sentences(oauth: OAuth, cast: Cast) -> None:
    text = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).content.decode()
    assert "“Alice Adams lets PR-Bot read in Github”" in text
    assert "“Alice Adams is asked before PR-Bot destroys anything in Github”" in text
    assert 'value="read_only" checked' in text
    assert "each of its calls is refused until one does" in text
    assert not Rule.objects.exists()


@pytest.mark.parametrize(("begin", "number"), [("read_only", 1), ("ask_before_writing", 3), ("", 0), ("x", 0)])
def test_allowing_writes_the_rules_that_were_chosen(oauth: OAuth, cast: Cast, begin: str, number: int) -> None:
    url = oauth.get_authorize_url(cast.pr_bot)
    response = oauth.browser.post(url, {"decision": "allow", "begin": begin})
    assert "code" in get_parameters(response)
    rules = Rule.objects.filter(layer="user", user=cast.alice, application=cast.pr_bot, integration=cast.github)
    assert (rules.count(), Rule.objects.count()) == (number, number)
    assert AuditEvent.objects.filter(type="rule.created", user_id=cast.alice.pk).count() == number


def test_refusing_writes_no_rules(oauth: OAuth, cast: Cast) -> None:
    oauth.browser.post(oauth.get_authorize_url(cast.pr_bot), {"decision": "refuse", "begin": "everything"})
    assert not Rule.objects.exists()


def test_chosen_rules_need_the_csrf_token_as_consent_does(oauth: OAuth, cast: Cast) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast.alice)
    given = {"decision": "allow", "begin": "everything"}
    assert browser.post(oauth.get_authorize_url(cast.pr_bot), given).status_code == 403
    assert not Rule.objects.exists()


def test_page_proposes_nothing_where_rules_speak_already(oauth: OAuth, cast: Cast) -> None:
    make_rule(cast.acme, "user", "allow", user=cast.alice, capability="create_issue")
    text = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).content.decode()
    assert "Leave my rules as they are" in text
    assert 'value="read_only" checked' not in text
    make_rule(cast.acme, "user", "ask", user=cast.alice, application=cast.pr_bot, klass="write")
    text = oauth.browser.get(oauth.get_authorize_url(cast.pr_bot)).content.decode()
    assert 'name="begin"' not in text
    oauth.browser.post(oauth.get_authorize_url(cast.pr_bot), {"decision": "allow", "begin": "everything"})
    assert Rule.objects.count() == 2
