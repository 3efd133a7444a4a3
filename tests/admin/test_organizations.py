from __future__ import annotations

from django.test import Client

from audit.models import AuditEvent
from orgs.models import Membership, Organization
from tests.admin.conftest import sign_in
from tests.factories import Cast

LIST = "/admin/orgs/organization/"


def change(organization: Organization) -> str:
    return f"{LIST}{organization.pk}/change/"


def test_list_for_administrator_shows_own_organization_alone(cast: Cast, carol: Client) -> None:
    page = carol.get(LIST).content.decode()
    assert "Acme Corp" in page
    assert "Globex" not in page


def test_change_records_before_and_after(cast: Cast, carol: Client) -> None:
    answer = carol.post(change(cast.acme), {"name": "Acme Inc", "client_registration": "closed"})
    assert answer.status_code == 302
    event = AuditEvent.objects.get(type="admin.changed")
    assert event.organization_id == cast.acme.pk
    assert event.user_id == cast.carol.pk
    assert event.details["changes"] == {
        "name": ["Acme Corp", "Acme Inc"],
        "client_registration": ["approval", "closed"],
    }
    assert AuditEvent.objects.get(type="organization.changed").user_id == cast.carol.pk


def test_change_of_other_organization_is_not_found(cast: Cast, carol: Client) -> None:
    assert carol.get(change(cast.globex)).status_code == 404
    answer = carol.post(change(cast.globex), {"name": "Mine", "client_registration": "open"})
    assert answer.status_code in (403, 404)
    cast.globex.refresh_from_db()
    assert cast.globex.name == "Globex"


def test_events_of_organization_are_one_link_away(cast: Cast, carol: Client, root: Client) -> None:
    carol.post(change(cast.acme), {"name": "Acme Inc", "client_registration": "closed"})
    for browser in (carol, root):
        answer = browser.get(f"{change(cast.acme).removesuffix('change/')}history/", follow=True)
        assert answer.status_code == 200
        events = [event for event, _ in answer.context["lines"]]
        assert {event.organization_id for event in events} == {cast.acme.pk}
        assert "admin.changed" in {event.type for event in events}


def test_add_by_organization_administrator_is_forbidden(cast: Cast, carol: Client) -> None:
    assert carol.post(f"{LIST}add/", {"name": "New", "slug": "new"}).status_code == 403


def test_add_by_superuser_creates_organization(root: Client) -> None:
    answer = root.post(f"{LIST}add/", {"name": "Initech", "slug": "initech", "client_registration": "approval"})
    assert answer.status_code == 302
    organization = Organization.objects.get(slug="initech")
    assert AuditEvent.objects.filter(type="admin.changed", organization_id=organization.pk).exists()


def test_auditor_reads_and_changes_nothing(cast: Cast) -> None:
    cast.bob.is_staff = True
    cast.bob.save()
    Membership.objects.filter(user=cast.bob).update(role=Membership.Role.AUDITOR)
    auditor = sign_in(cast.bob)
    assert auditor.get(change(cast.acme)).status_code == 200
    answer = auditor.post(change(cast.acme), {"name": "Mine", "client_registration": "open"})
    assert answer.status_code == 403


def test_member_is_told_that_the_admin_is_not_for_them(cast: Cast) -> None:
    answer = sign_in(cast.alice).get("/admin/", follow=True)
    assert answer.status_code == 403


def test_visitor_is_sent_to_the_one_sign_in_page(client: Client, db: None) -> None:
    answer = client.get(LIST, follow=False)
    assert answer.status_code == 302
    assert client.get(answer["Location"])["Location"].startswith("/signin/?next=")


def test_suspended_administrator_is_out_at_once(cast: Cast, carol: Client) -> None:
    Membership.objects.filter(user=cast.carol).update(status=Membership.Status.SUSPENDED)
    assert carol.get("/admin/", follow=True).status_code == 403


def test_full_content_is_kept_with_a_warning_and_recorded_before_and_after(cast: Cast, carol: Client) -> None:
    answer = carol.post(
        change(cast.acme),
        {"name": "Acme Corp", "client_registration": "approval", "capture_level": "full", "redacted_paths": "a.b\r\nc"},
        follow=True,
    )
    assert "The content of calls is kept from now on" in answer.content.decode()
    cast.acme.refresh_from_db()
    assert (cast.acme.capture_level, cast.acme.redacted_paths) == ("full", ["a.b", "c"])
    recorded = AuditEvent.objects.get(type="organization.changed").details
    assert (recorded["former"], recorded["capture_level"]) == (
        {"capture_level": "digest", "redacted_paths": []},
        "full",
    )
    changes = AuditEvent.objects.get(type="admin.changed").details["changes"]
    assert changes == {"capture_level": ["digest", "full"], "redacted_paths": [[], ["a.b", "c"]]}
    carol.post(change(cast.acme), {"name": "Acme Inc", "client_registration": "approval"})
    cast.acme.refresh_from_db()
    assert (cast.acme.name, cast.acme.capture_level) == ("Acme Inc", "full")


def test_path_that_means_nothing_is_refused_beside_its_field(cast: Cast, carol: Client) -> None:
    given = {"name": "Acme Corp", "client_registration": "approval", "capture_level": "full", "redacted_paths": "a..b"}
    answer = carol.post(change(cast.acme), given)
    assert "names joined by dots" in answer.content.decode()
    cast.acme.refresh_from_db()
    assert cast.acme.capture_level == "digest"
