"""Organizations, and the first administrator of an installation."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core import signing
from django.core.exceptions import ValidationError
from django.test import Client

from audit.models import AuditEvent
from orgs.models import Membership, Organization, User
from orgs.services.create_first_administrator import has_administrator, issue_setup_token
from orgs.services.create_organization import create_organization, update_organization

pytestmark = pytest.mark.django_db
FORM = {
    "organization_name": "Acme Corp",
    "organization_slug": "acme",
    "name": "Carol Clark",
    "email": "Carol@acme.test",
    "password": "correct horse battery",
}


def test_create_makes_the_owner_a_member() -> None:
    owner = User.objects.create_user(name="Carol")
    organization = create_organization(name="Acme", slug="acme", owner=owner)
    assert Membership.objects.get(organization=organization).role == "owner"
    assert AuditEvent.objects.get(type="organization.created").organization_id == organization.pk


@pytest.mark.parametrize("slug", ["", "Acme", "-acme", "a b", "é", "acme\n"])
def test_create_with_unacceptable_slug_is_refused(slug: str) -> None:
    with pytest.raises(ValidationError) as refused:
        create_organization(name="Acme", slug=slug)
    assert "slug" in refused.value.message_dict


def test_update_records_what_changed() -> None:
    organization = create_organization(name="Acme", slug="acme")
    update_organization(organization=organization, client_registration="open")
    update_organization(organization=organization, client_registration="open")
    assert AuditEvent.objects.get(type="organization.changed").details["client_registration"] == "open"


class TestSetUp:
    def test_creates_the_first_administrator_and_signs_them_in(self, client: Client) -> None:
        url = f"/setup/{issue_setup_token()}/"
        assert client.get(url).status_code == 200

        response = client.post(url, FORM)

        assert (response.status_code, response["Location"]) == (302, "/admin/")
        user = User.objects.get()
        assert (user.username, user.is_superuser, user.is_staff) == ("carol@acme.test", True, True)
        assert Membership.objects.get().organization == Organization.objects.get(slug="acme")
        assert client.session["_auth_user_id"] == str(user.pk)
        assert has_administrator()
        assert FORM["password"] not in str([event.details for event in AuditEvent.objects.all()])

    def test_works_once(self, client: Client) -> None:
        url = f"/setup/{issue_setup_token()}/"
        client.post(url, FORM)
        assert Client().get(url).status_code == 404
        assert Client().post(url, {**FORM, "email": "mallory@x.test"}).status_code == 404
        assert Client().get(f"/setup/{issue_setup_token()}/").status_code == 404

    @pytest.mark.parametrize("token", ["x", "a:b:c"])
    def test_with_another_token_is_not_found(self, client: Client, token: str) -> None:
        assert client.get(f"/setup/{token}/").status_code == 404

    def test_with_token_signed_for_another_purpose_is_not_found(self, client: Client) -> None:
        token = signing.dumps("first administrator", salt="other")
        assert client.get(f"/setup/{token}/").status_code == 404

    def test_a_day_later_is_not_found(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        url = f"/setup/{issue_setup_token()}/"
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 24 * 3600 + 2)
        assert client.get(url).status_code == 404

    @pytest.mark.parametrize(
        "change", [{"password": "short"}, {"password": "12345678901"}, {"organization_slug": "A!"}, {"email": "x"}]
    )
    def test_with_unacceptable_field_says_so_and_creates_nothing(self, client: Client, change: dict[str, Any]) -> None:
        response = client.post(f"/setup/{issue_setup_token()}/", {**FORM, **change})
        assert response.status_code == 422
        assert "field-error" in response.content.decode()
        assert not User.objects.exists()
        assert not Organization.objects.exists()
