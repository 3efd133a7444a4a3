from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from audit.models import AuditEvent
from orgs import outbound
from orgs.models import IdentityProvider, SigningKey
from orgs.outbound import OutboundResponse
from orgs.services.rotate_signing_keys import get_or_create_active_signing_key
from orgs.services.set_identity_provider import open_client_secret, set_identity_provider
from tests.factories import Cast

LIST = "/admin/orgs/identityprovider/"
ISSUER = "https://acme.okta.test"
SECRET = "a-client-secret-of-okta"


def given(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {
        "organization": str(cast.acme.pk),
        "name": "Okta",
        "issuer": ISSUER,
        "client_id": "kontext",
        "client_secret": SECRET,
        "email_domains": "acme.test\n@Acme.example\n",
        "scopes": "openid email profile",
        "group_claim": "groups",
        "is_enabled": "on",
        **changes,
    }


@pytest.fixture
def okta(cast: Cast) -> IdentityProvider:
    return set_identity_provider(
        organization=cast.acme, name="Okta", issuer=ISSUER, client_id="kontext", client_secret=SECRET
    )


def test_add_seals_the_secret_and_shows_the_redirect_uri(cast: Cast, carol: Client) -> None:
    assert carol.post(f"{LIST}add/", given(cast)).status_code == 302
    provider = IdentityProvider.objects.get()
    assert open_client_secret(provider) == SECRET
    assert provider.email_domains == ["acme.example", "acme.test"]
    page = carol.get(f"{LIST}{provider.pk}/change/").content.decode()
    assert f"/sso/{provider.pk}/complete/" in page
    assert SECRET not in page
    assert all(SECRET not in str(event.details) for event in AuditEvent.objects.all())


def test_change_without_secret_keeps_it(cast: Cast, carol: Client, okta: IdentityProvider) -> None:
    answer = carol.post(f"{LIST}{okta.pk}/change/", given(cast, client_secret="", name="Okta 2"))
    assert answer.status_code == 302
    okta.refresh_from_db()
    assert (okta.name, open_client_secret(okta)) == ("Okta 2", SECRET)


def test_change_of_issuer_asks_for_the_secret_again(cast: Cast, carol: Client, okta: IdentityProvider) -> None:
    answer = carol.post(f"{LIST}{okta.pk}/change/", given(cast, client_secret="", issuer="https://evil.test"))
    assert "never sent to another issuer" in answer.content.decode()
    okta.refresh_from_db()
    assert okta.issuer == ISSUER


def test_refused_form_does_not_repeat_the_secret(cast: Cast, carol: Client) -> None:
    answer = carol.post(f"{LIST}add/", given(cast, issuer="http://acme.okta.test/?x=1"))
    assert answer.status_code == 200
    assert "The issuer must be an https URL" in answer.content.decode()
    assert SECRET not in answer.content.decode()


def test_delete_records_it(cast: Cast, carol: Client, okta: IdentityProvider) -> None:
    assert carol.post(f"{LIST}{okta.pk}/delete/", {"post": "yes"}).status_code == 302
    assert AuditEvent.objects.filter(type="identity_provider.changed", details__deleted=True).exists()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"issuer": ISSUER}, "lacks authorization_endpoint"),
        ({"issuer": "https://other.test"}, "names the issuer https://other.test"),
        ([], "not JSON metadata"),
    ],
)
def test_discovery_says_what_is_wrong(
    document: Any, words: str, carol: Client, okta: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(document, monkeypatch)
    page = carol.post(f"{LIST}{okta.pk}/test-discovery/", follow=True).content.decode()
    assert words in page


def test_discovery_shows_where_people_are_sent(
    carol: Client, okta: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/keys",
        "scopes_supported": ["openid"],
    }
    answer_with(document, monkeypatch)
    page = carol.post(f"{LIST}{okta.pk}/test-discovery/", follow=True).content.decode()
    assert f"{ISSUER}/authorize" in page
    assert "support" in page
    assert "email profile" in page


def test_signing_keys_are_rotated_by_superusers_alone(carol: Client, root: Client) -> None:
    former = get_or_create_active_signing_key()
    address = f"/admin/orgs/signingkey/{former.pk}/"
    assert carol.get("/admin/orgs/signingkey/").status_code == 403
    assert carol.post(f"{address}rotate/").status_code in (403, 404)
    assert root.post(f"{address}rotate/").status_code == 302
    former.refresh_from_db()
    assert former.state == SigningKey.State.RETIRED
    assert SigningKey.objects.get(state="active").pk != former.pk


def answer_with(document: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the outside: what the issuer's metadata address answers."""

    def send(method: str, url: str, **rest: Any) -> OutboundResponse:
        assert url == f"{ISSUER}/.well-known/openid-configuration"
        return OutboundResponse(200, {}, json.dumps(document).encode())

    monkeypatch.setattr(outbound, "_transports", [send])
