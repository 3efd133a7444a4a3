"""The sign-in page, sign-out and the current organization. Signing in itself is tested in tests/orgs/sso."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from audit.models import AuditEvent
from orgs.models import IdentityProvider, Membership, User
from orgs.sessions import ORGANIZATION_KEY
from tests.factories import Cast, make_cast, make_organization

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def provider(cast: Cast) -> IdentityProvider:
    return IdentityProvider.objects.create(
        organization=cast.acme, name="Acme SSO", issuer="https://idp.test", email_domains=["acme.test"]
    )


def sign_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def test_sign_in_with_known_domain_goes_to_the_organizations_own_provider(
    client: Client, provider: IdentityProvider
) -> None:
    answer = client.post("/signin/", {"with": "organization", "email": "Alice@ACME.test", "next": "/activity/"})
    assert answer.status_code == 302
    assert answer["Location"] == f"/sso/{provider.pk}/?next=%2Factivity%2F&email=Alice%40ACME.test"


@pytest.mark.parametrize("email", ["alice@elsewhere.test", "alice", "", "alice@sub.acme.test", "x\0@acme.test"])
def test_sign_in_with_unusable_address_says_so_and_keeps_nothing(
    client: Client, provider: IdentityProvider, email: str
) -> None:
    answer = client.post("/signin/", {"with": "organization", "email": email})
    assert answer.status_code == 400
    assert b'class="error-summary" role="alert"' in answer.content
    assert not client.session.keys()


@pytest.mark.parametrize("target", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)"])
def test_sign_in_with_foreign_next_goes_home_instead(client: Client, provider: IdentityProvider, target: str) -> None:
    answer = client.post("/signin/", {"with": "organization", "email": "alice@acme.test", "next": target})
    assert "next=%2F&" in answer["Location"]


def test_sign_in_with_wrong_password_tells_nothing(client: Client, cast: Cast) -> None:
    cast.carol.set_password("right password")
    cast.carol.save()
    refused = client.post("/signin/", {"with": "password", "username": cast.carol.username, "password": "wrong"})
    unknown = client.post("/signin/", {"with": "password", "username": "nobody", "password": "wrong"})
    assert refused.status_code == unknown.status_code == 400
    assert b"fit together" in refused.content
    assert b"fit together" in unknown.content
    assert b"wrong" not in refused.content.replace(b"went wrong", b"")
    answer = client.post(
        "/signin/", {"with": "password", "username": cast.carol.username, "password": "right password"}
    )
    assert answer.status_code == 302
    assert settings.SESSION_COOKIE_NAME in client.cookies


def test_sign_out_by_post_ends_the_session_and_is_recorded(cast: Cast) -> None:
    client = sign_in(cast.alice)
    assert client.get("/signout/").status_code == 405
    assert client.session.keys()
    client.post("/signout/")
    assert "_auth_user_id" not in client.session
    event = AuditEvent.objects.get(type="person.signed_out")
    assert (event.organization_id, event.user_id) == (cast.acme.pk, cast.alice.pk)


def test_switch_organization_works_for_own_active_memberships_only(cast: Cast) -> None:
    other = make_organization("Acme Dev", slug="acme-dev")
    membership = Membership.objects.create(organization=other, user=cast.alice)
    client = sign_in(cast.alice)
    assert client.post("/organization/", {"organization": str(other.pk)}).status_code == 302
    assert client.session[ORGANIZATION_KEY] == str(other.pk)
    membership.status = Membership.Status.SUSPENDED
    membership.save()
    for organization in (str(other.pk), str(cast.globex.pk), "nonsense", ""):
        assert client.post("/organization/", {"organization": organization}).status_code == 404


def test_appearance_keeps_known_themes_only(client: Client) -> None:
    client.post("/appearance/", {"theme": "dark", "next": "/signin/"})
    assert client.cookies["kontext_theme"].value == "dark"
    assert b'data-theme="dark"' in client.get("/signin/").content
    client.post("/appearance/", {"theme": 'x" onload="'})
    assert client.cookies["kontext_theme"].value == ""
