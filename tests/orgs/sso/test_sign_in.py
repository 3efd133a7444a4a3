"""People sign in at a real OpenID provider. The key of a person is issuer + subject (THREATS 8, 9, 11, 12, 37)."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.test import Client

from audit.models import AuditEvent
from orgs.models import Group, GroupMembership, Identity, IdentityProvider, Membership, Organization, User
from orgs.services.set_identity_provider import set_identity_provider
from orgs.sso.backend import OrganizationBackend
from orgs.sso.providers import find_provider_for_email
from tests.factories import make_group, make_organization
from tests.orgs.sso.conftest import CLIENT_SECRET, Browser, OpenIDProvider

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _alice_exists(openid_provider: OpenIDProvider) -> None:
    openid_provider.set_person("alice", email="alice@acme.test", name="Alice Adams", groups=["Engineering"])


def get_session_user(browser: Browser) -> User | None:
    return User.objects.filter(pk=browser.client.session.get("_auth_user_id", UUID(int=0))).first()


def test_first_sign_in_creates_the_person_with_groups(
    browser: Browser, acme: Organization, acme_sso: IdentityProvider
) -> None:
    response = browser.sign_in(acme_sso)

    assert (response.status_code, response["Location"]) == (302, "/")
    user = User.objects.get()
    assert (user.name, user.email, user.has_usable_password()) == ("Alice Adams", "alice@acme.test", False)
    assert get_session_user(browser) == user
    assert browser.client.session["organization"] == str(acme.pk)
    identity = Identity.objects.get()
    assert (identity.issuer, identity.subject, identity.user) == (acme_sso.issuer, "alice", user)
    assert Membership.objects.get().role == "member"
    membership = GroupMembership.objects.get()
    assert (membership.group.name, membership.source, membership.group.source) == ("Engineering", "idp", "idp")
    types = set(AuditEvent.objects.values_list("type", flat=True))
    assert {"person.created", "person.signed_in", "person.groups_changed", "membership.changed"} <= types
    assert {event.organization_id for event in AuditEvent.objects.all()} == {acme.pk}


def test_second_sign_in_is_the_same_person(browser: Browser, acme_sso: IdentityProvider) -> None:
    browser.sign_in(acme_sso)
    browser.client.logout()
    browser.sign_in(acme_sso)
    assert User.objects.count() == Identity.objects.count() == Membership.objects.count() == 1


def test_sign_in_rotates_the_session_and_returns_to_where_it_began(
    browser: Browser, acme_sso: IdentityProvider
) -> None:
    begun = browser.begin(acme_sso, next="/connections/?x=1")
    before = browser.client.session.session_key
    response = browser.complete(browser.answer(begun))
    assert response["Location"] == "/connections/?x=1"
    assert browser.client.session.session_key != before


@pytest.mark.parametrize("target", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)"])
def test_sign_in_never_returns_to_elsewhere(browser: Browser, acme_sso: IdentityProvider, target: str) -> None:
    assert browser.sign_in(acme_sso, next=target)["Location"] == "/"


def test_request_is_bound_by_state_nonce_and_pkce(browser: Browser, acme_sso: IdentityProvider) -> None:
    query = parse_qs(urlsplit(browser.begin(acme_sso, email="alice@acme.test")["Location"]).query)
    assert query["redirect_uri"] == [f"{settings.PUBLIC_URL}/sso/{acme_sso.pk}/complete/"]
    assert query["code_challenge_method"] == ["S256"]
    assert query["login_hint"] == ["alice@acme.test"]
    assert all(query[name][0] for name in ("state", "nonce", "code_challenge"))
    assert CLIENT_SECRET not in str(query)


class TestGroups:
    def test_follow_the_claim(
        self, browser: Browser, acme_sso: IdentityProvider, openid_provider: OpenIDProvider
    ) -> None:
        browser.sign_in(acme_sso)
        openid_provider.set_person("alice", email="alice@acme.test", groups=["Sales"])
        browser.sign_in(acme_sso)
        assert list(GroupMembership.objects.values_list("group__name", flat=True)) == ["Sales"]
        event = AuditEvent.objects.filter(type="person.groups_changed").first()
        assert event is not None
        assert (event.details["joined"], event.details["left"]) == (["Sales"], ["Engineering"])

    def test_missing_claim_ends_them(
        self, browser: Browser, acme_sso: IdentityProvider, openid_provider: OpenIDProvider
    ) -> None:
        browser.sign_in(acme_sso)
        openid_provider.set_person("alice", email="alice@acme.test")
        browser.sign_in(acme_sso)
        assert not GroupMembership.objects.exists()

    def test_given_by_an_administrator_stay(
        self, browser: Browser, acme: Organization, acme_sso: IdentityProvider
    ) -> None:
        browser.sign_in(acme_sso)
        board = make_group(acme, "Board")
        GroupMembership.objects.create(organization=acme, group=board, user=User.objects.get())
        browser.sign_in(acme_sso)
        assert set(GroupMembership.objects.values_list("group__name", "source")) == {
            ("Board", "manual"),
            ("Engineering", "idp"),
        }

    def test_named_as_an_administrators_group_are_that_group(
        self, browser: Browser, acme: Organization, acme_sso: IdentityProvider
    ) -> None:
        group = make_group(acme, "Engineering")
        browser.sign_in(acme_sso)
        assert GroupMembership.objects.get().group == group
        assert Group.objects.count() == 1

    @pytest.mark.parametrize("claim", [{"groups": {"a": 1}}, {"groups": [1]}, {"_claim_names": {"groups": "src1"}}])
    def test_claim_that_is_not_a_whole_list_refuses(
        self, browser: Browser, acme_sso: IdentityProvider, openid_provider: OpenIDProvider, claim: dict[str, Any]
    ) -> None:
        openid_provider.set_person("alice", email="alice@acme.test", **claim)
        assert browser.sign_in(acme_sso).status_code == 403
        assert not User.objects.exists()


class TestIdentity:
    def test_subjects_that_differ_in_case_are_different_people(
        self, browser: Browser, acme_sso: IdentityProvider, openid_provider: OpenIDProvider
    ) -> None:
        openid_provider.set_person("ALICE", email="alice@acme.test")
        browser.sign_in(acme_sso, "alice")
        browser.sign_in(acme_sso, "ALICE")
        assert User.objects.count() == 2

    def test_same_email_at_another_issuer_is_another_person(
        self, browser: Browser, acme: Organization, acme_sso: IdentityProvider
    ) -> None:
        first = User.objects.create_user(email="alice@acme.test", name="Alice")
        Membership.objects.create(organization=acme, user=first, role="owner")
        Identity.objects.create(user=first, issuer="https://other.test", subject="alice")

        browser.sign_in(acme_sso)

        signed_in = get_session_user(browser)
        assert signed_in is not None
        assert signed_in != first
        assert Membership.objects.get(user=signed_in).role == "member"

    def test_change_of_email_keeps_the_person(
        self, browser: Browser, acme_sso: IdentityProvider, openid_provider: OpenIDProvider
    ) -> None:
        browser.sign_in(acme_sso)
        openid_provider.set_person("alice", email="alice.adams@acme.test", name="Alice A.")
        browser.sign_in(acme_sso)
        assert User.objects.get().email == "alice.adams@acme.test"

    def test_of_a_foreign_domain_is_refused(
        self, browser: Browser, acme_sso: IdentityProvider, openid_provider: OpenIDProvider
    ) -> None:
        openid_provider.set_person("mallory", email="mallory@globex.test")
        response = browser.sign_in(acme_sso, "mallory")
        assert response.status_code == 403
        assert not User.objects.exists()
        assert AuditEvent.objects.get(type="person.sign_in_refused").details["reason"] == "foreign_domain"

    def test_with_unverified_email_is_refused(
        self, browser: Browser, acme_sso: IdentityProvider, openid_provider: OpenIDProvider
    ) -> None:
        openid_provider.set_person("mallory", email="ceo@acme.test", email_verified=False)
        assert browser.sign_in(acme_sso, "mallory").status_code == 403
        assert not User.objects.exists()


@pytest.mark.parametrize("what", ["user", "membership"])
def test_suspended_person_is_refused(browser: Browser, acme_sso: IdentityProvider, what: str) -> None:
    browser.sign_in(acme_sso)
    browser.client.logout()
    if what == "user":
        User.objects.update(is_active=False)
    else:
        Membership.objects.update(status="suspended")

    response = browser.sign_in(acme_sso)

    assert response.status_code == 403
    assert "suspended" in response.content.decode()
    assert get_session_user(browser) is None
    event = AuditEvent.objects.filter(type="person.sign_in_refused").get()
    assert event.details["reason"] == "suspended"
    assert event.request_id in response.content.decode()


@pytest.mark.parametrize("what", ["provider", "organization"])
def test_disabled_place_to_sign_in_is_not_found(
    browser: Browser, acme: Organization, acme_sso: IdentityProvider, what: str
) -> None:
    answer = browser.answer(browser.begin(acme_sso))
    if what == "provider":
        IdentityProvider.objects.update(is_enabled=False)
    else:
        Organization.objects.update(status="suspended")
    assert browser.begin(acme_sso).status_code == 404
    assert browser.complete(answer).status_code == 404
    assert not User.objects.exists()


class TestAnswer:
    """What comes back is worth something only in the browser, and at the provider, where it was asked for."""

    def check_refused(self, response: Any, reason: str) -> None:
        assert response.status_code == 403
        assert not User.objects.exists()
        event = AuditEvent.objects.filter(type="person.sign_in_refused").first()
        assert event is not None
        assert event.details["reason"] == reason

    def test_in_another_browser_is_refused(self, browser: Browser, acme_sso: IdentityProvider) -> None:
        answer = browser.answer(browser.begin(acme_sso))
        other = dataclasses.replace(browser, client=Client())
        self.check_refused(other.complete(answer), "session_context_missing")

    def test_twice_is_refused(self, browser: Browser, acme_sso: IdentityProvider) -> None:
        answer = browser.answer(browser.begin(acme_sso))
        browser.complete(answer)
        assert browser.complete(answer).status_code == 403

    @pytest.mark.parametrize("change", ["state=x", "state="])
    def test_with_another_state_is_refused(self, browser: Browser, acme_sso: IdentityProvider, change: str) -> None:
        answer = browser.answer(browser.begin(acme_sso))
        base, _, query = answer.partition("?")
        kept = "&".join(part for part in query.split("&") if not part.startswith("state="))
        assert browser.complete(f"{base}?{kept}&{change}").status_code == 403
        assert not User.objects.exists()

    def test_at_another_provider_is_refused(
        self, browser: Browser, acme_sso: IdentityProvider, openid_provider: OpenIDProvider
    ) -> None:
        globex = make_organization("Globex")
        other = set_identity_provider(
            organization=globex, name="Other", issuer=openid_provider.url, client_id="globex", client_secret="x"
        )
        answer = browser.answer(browser.begin(acme_sso))
        moved = answer.replace(str(acme_sso.pk), str(other.pk))
        self.check_refused(browser.complete(moved), "session_context_missing")

    def test_naming_another_issuer_is_refused(self, browser: Browser, acme_sso: IdentityProvider) -> None:
        answer = browser.answer(browser.begin(acme_sso))
        self.check_refused(browser.complete(f"{answer}&iss=https://evil.test"), "issuer_mismatch")

    def test_error_naming_another_issuer_is_refused(self, browser: Browser, acme_sso: IdentityProvider) -> None:
        browser.begin(acme_sso)
        url = f"/sso/{acme_sso.pk}/complete/?error=access_denied&iss=https://evil.test"
        self.check_refused(browser.complete(url), "issuer_mismatch")

    def test_naming_no_issuer_is_refused_where_one_is_promised(
        self, browser: Browser, acme_sso: IdentityProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = browser.answer(browser.begin(acme_sso))
        read = OrganizationBackend.oidc_config
        promise = {"authorization_response_iss_parameter_supported": True}
        monkeypatch.setattr(OrganizationBackend, "oidc_config", lambda backend: {**read(backend), **promise})
        self.check_refused(browser.complete(answer), "issuer_mismatch")

    def test_after_half_an_hour_is_refused(self, browser: Browser, acme_sso: IdentityProvider) -> None:
        answer = browser.answer(browser.begin(acme_sso))
        session = browser.client.session
        key = next(name for name, _ in session.items() if "_oauth2_state_" in name)
        session[key] = {**session[key], "timestamp": session[key]["timestamp"] - 1801}
        session.save()
        self.check_refused(browser.complete(answer), "state_mismatch")

    def test_declined_is_explained(self, browser: Browser, acme_sso: IdentityProvider) -> None:
        answer = browser.answer(browser.begin(acme_sso), action="deny")
        response = browser.complete(answer)
        assert "declined" in response.content.decode()
        assert not User.objects.exists()

    def test_with_forged_code_is_refused(self, browser: Browser, acme_sso: IdentityProvider) -> None:
        answer = browser.answer(browser.begin(acme_sso))
        base, _, query = answer.partition("?")
        state = parse_qs(query)["state"][0]
        response = browser.complete(f"{base}?code=forged&state={state}")
        assert response.status_code == 403
        assert CLIENT_SECRET not in response.content.decode()
        assert not User.objects.exists()


def test_metadata_of_another_issuer_is_refused(
    browser: Browser, acme: Organization, openid_provider: OpenIDProvider
) -> None:
    provider = set_identity_provider(
        organization=acme,
        name="Wrong",
        issuer=openid_provider.url.replace("127.0.0.1", "localhost") + "/",
        client_id="kontext",
    )
    response = browser.begin(provider)
    assert response.status_code == 502
    assert AuditEvent.objects.filter(type="person.sign_in_refused").get().details["reason"] == "issuer_mismatch"


def test_unreachable_provider_is_explained(browser: Browser, acme: Organization) -> None:
    provider = set_identity_provider(organization=acme, name="Gone", issuer="http://127.0.0.1:1", client_id="kontext")
    response = browser.begin(provider)
    assert response.status_code == 502
    assert "Try again" in response.content.decode()


def test_private_address_is_refused_where_not_allowed(
    browser: Browser, acme: Organization, settings: Any, acme_sso: IdentityProvider
) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False
    IdentityProvider.objects.update(issuer="https://127.0.0.1:1", client_secret=b"")
    assert browser.begin(acme_sso).status_code == 502


def test_too_many_failures_are_limited(browser: Browser, acme_sso: IdentityProvider) -> None:
    url = f"/sso/{acme_sso.pk}/complete/?code=x&state=y"
    statuses = [browser.complete(url).status_code for _ in range(21)]
    assert statuses == [403] * 20 + [429]
    assert browser.begin(acme_sso).status_code == 429


def test_client_secret_is_sealed_and_bound_to_its_issuer(acme_sso: IdentityProvider) -> None:
    from orgs.services.set_identity_provider import open_client_secret
    from orgs.vault import VaultError

    assert CLIENT_SECRET.encode() not in bytes(acme_sso.client_secret)
    assert open_client_secret(acme_sso) == CLIENT_SECRET
    acme_sso.issuer = "https://evil.test"
    with pytest.raises(VaultError):
        open_client_secret(acme_sso)


def test_changed_issuer_never_gets_the_former_secret(browser: Browser, acme_sso: IdentityProvider) -> None:
    given: dict[str, Any] = {"organization": acme_sso.organization, "name": "Acme SSO", "client_id": "kontext"}
    with pytest.raises(ValidationError) as refused:
        set_identity_provider(**given, issuer="https://evil.test", provider=acme_sso)
    assert "client_secret" in refused.value.message_dict
    # And when a row is changed behind the service's back, the secret does not open.
    IdentityProvider.objects.update(issuer=f"{acme_sso.issuer}/")
    response = browser.begin(acme_sso)
    assert response.status_code == 502
    assert "enter its client secret again" in response.content.decode()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"issuer": "javascript:alert(1)"}, "issuer"),
        ({"issuer": "https://idp.test/?x=1"}, "issuer"),
        ({"issuer": "https://u:p@idp.test"}, "issuer"),
        ({"issuer": "https://[bad"}, "issuer"),
        ({"email_domains": ["not a domain"]}, "email_domains"),
        ({"email_domains": ["ACME.test"]}, "email_domains"),
        ({"name": ""}, "name"),
        ({"client_id": ""}, "client_id"),
    ],
)
def test_unacceptable_provider_is_refused(acme_sso: IdentityProvider, fields: dict[str, Any], field: str) -> None:
    given = {"name": "Other", "issuer": "https://idp.test", "client_id": "x", **fields}
    with pytest.raises(ValidationError) as refused:
        set_identity_provider(organization=make_organization(), **given)
    assert field in refused.value.message_dict


@pytest.mark.parametrize("email", ["bob@acme.test", " BOB@ACME.TEST "])
def test_find_provider_by_email_domain(acme_sso: IdentityProvider, email: str) -> None:
    assert find_provider_for_email(email) == acme_sso


@pytest.mark.parametrize("email", ["bob@sub.acme.test", "acme.test", "bob@", "", "bob@globex.test"])
def test_find_provider_of_nobody(acme_sso: IdentityProvider, email: str) -> None:
    assert find_provider_for_email(email) is None
