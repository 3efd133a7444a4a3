"""Coming, going and one's own password, as far as the admin has pages for it."""

from __future__ import annotations

from django.test import Client

from audit.models import AuditEvent
from orgs.models import User
from tests.factories import Cast

PASSWORD = "/admin/password_change/"


def test_logout_is_recorded_and_leads_to_the_one_sign_in_page(cast: Cast, carol: Client) -> None:
    answer = carol.post("/admin/logout/")
    assert answer["Location"] == "/signin/"
    assert AuditEvent.objects.get(type="person.signed_out").user_id == cast.carol.pk
    assert carol.get("/admin/").status_code == 302


def test_change_of_own_password_is_recorded_without_it(root: Client) -> None:
    given = {
        "old_password": "a long password",
        "new_password1": "another long one",
        "new_password2": "another long one",
    }
    assert root.post(PASSWORD, {**given, "old_password": "wrong"}).status_code == 200
    assert not AuditEvent.objects.filter(type="person.changed").exists()
    assert root.post(PASSWORD, given).status_code == 302
    assert User.objects.get(username="root").check_password("another long one")
    event = AuditEvent.objects.get(type="person.changed")
    assert event.details["password_changed"] is True
    assert "another long one" not in str(event.details)


def test_password_page_is_not_for_people_of_an_identity_provider(carol: Client) -> None:
    assert carol.get(PASSWORD).status_code == 404


def test_search_with_impossible_page_is_not_found(carol: Client) -> None:
    assert carol.get("/admin/search/?s=rules").status_code == 200
    for page in ("x", "-1", "99999"):
        assert carol.get(f"/admin/search/?s=rules&page={page}").status_code == 404
