from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.hashers import check_password
from django.test import Client

from audit.models import AuditEvent
from orgs.models import Application
from tests.factories import Cast, make_application

LIST = "/admin/orgs/application/"
CONSENTS = "/admin/orgs/delegation/"


def given(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {
        "organization": str(cast.acme.pk),
        "name": "Deployer",
        "owner": str(cast.carol.pk),
        "client_type": "confidential",
        "redirect_uris": "https://deployer.test/callback\nhttps://deployer.test/other",
        "grant_types": ["authorization_code", "refresh_token"],
        **changes,
    }


def read_secret(page: str) -> str:
    found = re.search(r"<dt>Client secret</dt><dd>.*?<code>([^<]+)</code>", page)
    assert found, "the page shows no secret"
    return found[1]


def test_add_shows_the_secret_once(cast: Cast, carol: Client) -> None:
    answer = carol.post(f"{LIST}add/", given(cast))
    secret = read_secret(answer.content.decode())
    application = Application.objects.get(name="Deployer")
    assert check_password(secret, application.client_secret)
    assert application.redirect_uris == "https://deployer.test/callback https://deployer.test/other"
    assert "no-store" in answer["Cache-Control"]
    assert secret not in carol.get(f"{LIST}{application.pk}/change/").content.decode()
    events = AuditEvent.objects.filter(organization_id=cast.acme.pk)
    assert {"application.registered", "admin.changed"} <= {event.type for event in events}
    assert all(secret not in str(event.details) for event in events)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"redirect_uris": "http://deployer.test/callback"}, "http://deployer.test/callback"),
        ({"client_type": "public", "grant_types": ["client_credentials"]}, "needs a confidential application"),
        ({"name": " "}, "This field is required"),
        ({"organization": ""}, "This field is required"),
        ({"grant_types": ["password"]}, "not one of the available choices"),
    ],
)
def test_add_with_bad_input_says_why_beside_the_field(
    cast: Cast, carol: Client, changes: dict[str, Any], words: str
) -> None:
    answer = carol.post(f"{LIST}add/", given(cast, **changes))
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not Application.objects.filter(name="Deployer").exists()


def test_add_with_owner_of_other_organization_is_refused(cast: Cast, carol: Client) -> None:
    answer = carol.post(f"{LIST}add/", given(cast, owner=str(cast.mallory.pk)))
    assert answer.status_code == 200
    assert not Application.objects.filter(name="Deployer").exists()


def test_rotate_secret_replaces_and_shows_it_once(cast: Cast, carol: Client) -> None:
    application = make_application(cast.acme, "Deployer", client_type="confidential", client_secret="former")
    address = f"{LIST}{application.pk}/rotate-secret/"
    assert "stops working at once" in carol.get(address).content.decode()
    secret = read_secret(carol.post(address).content.decode())
    application.refresh_from_db()
    assert check_password(secret, application.client_secret)
    assert not check_password("former", application.client_secret)
    assert AuditEvent.objects.filter(type="application.secret_rotated", user_id=cast.carol.pk).exists()


def test_rotate_secret_of_public_application_is_not_offered(cast: Cast, carol: Client) -> None:
    assert carol.post(f"{LIST}{cast.pr_bot.pk}/rotate-secret/").status_code == 404


def test_approve_lets_a_waiting_application_work(cast: Cast, carol: Client) -> None:
    waiting = make_application(cast.acme, "Newcomer", status="pending", registration_source="dcr")
    assert carol.post(f"{LIST}{waiting.pk}/approve/").status_code == 302
    waiting.refresh_from_db()
    assert waiting.status == "active"
    assert AuditEvent.objects.get(type="application.changed").user_id == cast.carol.pk


def test_suspend_and_delete_end_it(cast: Cast, carol: Client) -> None:
    assert carol.post(f"{LIST}{cast.pr_bot.pk}/suspend/").status_code == 302
    cast.pr_bot.refresh_from_db()
    assert cast.pr_bot.status == "suspended"
    assert carol.post(f"{LIST}{cast.pr_bot.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Application.objects.filter(pk=cast.pr_bot.pk).exists()
    assert AuditEvent.objects.get(type="application.deleted").details["name"] == "PR-Bot"


def test_other_organizations_application_is_not_found(cast: Cast, carol: Client) -> None:
    assert "Spy-Bot" not in carol.get(LIST).content.decode()
    for page in ("change", "delete", "suspend", "approve", "rotate-secret"):
        assert carol.post(f"{LIST}{cast.spy_bot.pk}/{page}/", {"post": "yes"}).status_code in (403, 404)
    cast.spy_bot.refresh_from_db()
    assert cast.spy_bot.status == "active"


def test_revoke_consent_ends_it(cast: Cast, carol: Client) -> None:
    address = f"{CONSENTS}{cast.delegation.pk}/revoke/"
    assert "stops acting for Alice Adams at once" in carol.get(address).content.decode()
    assert carol.post(address).status_code == 302
    cast.delegation.refresh_from_db()
    assert cast.delegation.revoked_at is not None
    assert AuditEvent.objects.get(type="delegation.revoked").user_id == cast.carol.pk


def test_page_shows_own_recent_events(cast: Cast, carol: Client) -> None:
    carol.post(f"{LIST}{cast.pr_bot.pk}/suspend/")
    page = carol.get(f"{CONSENTS}{cast.delegation.pk}/change/").content.decode()
    assert "Recent activity" in page
    carol.post(f"{CONSENTS}{cast.delegation.pk}/revoke/")
    page = carol.get(f"{CONSENTS}{cast.delegation.pk}/change/").content.decode()
    assert "delegation.revoked" in page
