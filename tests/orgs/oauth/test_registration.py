"""Dynamic registration (RFC 7591): anyone may, and it is worth nothing until somebody takes it in."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from orgs.models import Application, Delegation, Organization
from orgs.oauth import registration
from orgs.oauth.registration import delete_unclaimed_applications
from tests.factories import Cast, make_integration
from tests.orgs.oauth.conftest import GITHUB, REDIRECT_URI, OAuth, Proof, get_basic, get_claims, get_parameters

pytestmark = pytest.mark.django_db


def register(**metadata: Any) -> tuple[int, dict[str, Any]]:
    given = {
        "client_name": "Stranger",
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        **metadata,
    }
    body = json.dumps({name: value for name, value in given.items() if value is not None})
    response = Client().post("/oauth2/register", body, content_type="application/json")
    return response.status_code, response.json()


def test_register_public_client_returns_what_is_stored() -> None:
    status, answer = register()

    assert status == 201
    assert answer["client_id"].startswith("app_")
    assert "client_secret" not in answer
    assert answer["redirect_uris"] == [REDIRECT_URI]
    application = Application.objects.get(client_id=answer["client_id"])
    assert (application.organization, application.status) == (None, "pending")
    assert application.registration_source == "dcr"
    event = AuditEvent.objects.get(type="application.registered")
    assert event.details["client_id"] == answer["client_id"]


def test_register_confidential_client_returns_its_secret_once() -> None:
    status, answer = register(token_endpoint_auth_method="client_secret_basic")
    assert status == 201
    application = Application.objects.get(client_id=answer["client_id"])
    assert answer["client_secret"] not in application.client_secret
    assert answer["client_secret_expires_at"] == 0
    assert answer["client_secret"] not in str(AuditEvent.objects.get().details)


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://a.test/"}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://a.test/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.test/#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://u:p@a.test/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://*.a.test/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.test/ https://b.test/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [f"https://a.test/{n}" for n in range(11)]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.test/" + "x" * 600]}, "invalid_redirect_uri"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"grant_types": ["authorization_code", "password"]}, "invalid_client_metadata"),
        ({"grant_types": ["authorization_code", {}]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"client_name": 5}, "invalid_client_metadata"),
        ({"client_name": "x" * 20_000}, "invalid_client_metadata"),
    ],
)
def test_register_with_unacceptable_metadata_is_refused(metadata: dict[str, Any], error: str) -> None:
    status, answer = register(**metadata)
    assert (status, answer["error"]) == (400, error)
    assert not Application.objects.exists()


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "[" * 5000])
def test_register_with_something_else_is_refused(body: str) -> None:
    response = Client().post("/oauth2/register", body, content_type="application/json")
    assert (response.status_code, response.json()["error"]) == (400, "invalid_client_metadata")


def test_register_with_a_deceptive_name_is_cleaned() -> None:
    _, answer = register(client_name="Good\u202egnitic\nBot\u0000 ")
    assert answer["client_name"] == "GoodgniticBot"


def test_register_too_often_is_limited() -> None:
    statuses = [register()[0] for _ in range(32)]
    assert statuses[:30] == [201] * 30
    assert statuses[-1] == 429


def test_register_without_room_is_refused_and_old_ones_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "MOST_UNCLAIMED", 2)
    assert [register()[0] for _ in range(3)] == [201, 201, 503]
    Application.objects.update(created=timezone.now() - dt.timedelta(minutes=20))
    assert register()[0] == 201
    assert Application.objects.count() == 1


def test_unclaimed_are_deleted_after_a_day_and_claimed_ones_stay(cast: Cast) -> None:
    register()
    Application.objects.update(created=timezone.now() - dt.timedelta(days=2))
    assert delete_unclaimed_applications() == 1
    assert Application.objects.count() == 2


class TestClaim:
    @pytest.fixture
    def stranger(self, oauth: OAuth, cast: Cast) -> Application:
        make_integration(cast.acme, "linear")
        oauth.sign_in(cast.alice)
        return Application.objects.get(client_id=register()[1]["client_id"])

    def test_by_open_organization_is_active_for_what_it_asked(
        self, oauth: OAuth, cast: Cast, stranger: Application
    ) -> None:
        Organization.objects.update(client_registration="open")
        answer = oauth.get_tokens(stranger)

        assert get_claims(answer["access_token"])[1]["org"] == str(cast.acme.pk)
        stranger.refresh_from_db()
        assert (stranger.organization, stranger.owner, stranger.status) == (cast.acme, cast.alice, "active")
        allowed = stranger.application_integrations.values_list("integration__slug", flat=True)
        assert list(allowed) == ["github"]

    def test_page_warns_that_nobody_checked_the_name(self, oauth: OAuth, stranger: Application) -> None:
        page = oauth.browser.get(oauth.get_authorize_url(stranger)).content.decode()
        assert "registered itself" in page
        assert "has to approve" in page

    def test_by_organization_with_approval_waits(self, oauth: OAuth, cast: Cast, stranger: Application) -> None:
        response = oauth.authorize(stranger)

        assert response.status_code == 403
        assert "approve" in response.content.decode()
        stranger.refresh_from_db()
        assert (stranger.organization, stranger.status) == (cast.acme, "pending")
        assert not Delegation.objects.filter(application=stranger).exists()
        assert AuditEvent.objects.filter(organization_id=cast.acme.pk, type="application.registered").exists()

    def test_by_closed_organization_is_refused(self, oauth: OAuth, cast: Cast, stranger: Application) -> None:
        Organization.objects.update(client_registration="closed")
        assert oauth.browser.get(oauth.get_authorize_url(stranger)).status_code == 403
        assert oauth.browser.post(oauth.get_authorize_url(stranger), {"decision": "allow"}).status_code == 403
        stranger.refresh_from_db()
        assert stranger.organization is None

    def test_refusing_claims_nothing(self, oauth: OAuth, stranger: Application) -> None:
        oauth.browser.post(oauth.get_authorize_url(stranger), {"decision": "refuse"})
        stranger.refresh_from_db()
        assert stranger.organization is None

    def test_by_one_organization_closes_it_to_others(self, oauth: OAuth, cast: Cast, stranger: Application) -> None:
        Organization.objects.update(client_registration="open")
        oauth.authorize(stranger)
        oauth.sign_in(cast.mallory)
        response = oauth.browser.get(oauth.get_authorize_url(stranger))
        assert response.status_code == 400
        assert "Acme" not in response.content.decode()

    def test_management_scope_is_not_for_strangers(self, oauth: OAuth, stranger: Application) -> None:
        response = oauth.authorize(stranger, scope="management:all", resource=None)
        assert get_parameters(response)["error"] == "invalid_scope"

    def test_unclaimed_gets_no_token(self, oauth: OAuth, stranger: Application) -> None:
        status, answer = oauth.redeem(stranger, "x", Proof())
        assert (status, answer["error"]) == (401, "invalid_client")
        _, confidential = register(token_endpoint_auth_method="client_secret_basic")
        other = Application.objects.get(client_id=confidential["client_id"])
        status, answer = oauth.post_token(
            grant_type="client_credentials", resource=GITHUB, headers=get_basic(other, confidential["client_secret"])
        )
        assert (status, answer["error"]) == (401, "invalid_client")
