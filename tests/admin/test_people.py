from __future__ import annotations

import pytest
from django.test import Client

from audit.models import AuditEvent
from orgs.errors import PayloadErasedError
from orgs.models import GroupMembership, Membership, User
from orgs.payloads import open_payload
from tests.admin.conftest import sign_in, submit
from tests.factories import Cast, make_call

LIST = "/admin/orgs/user/"
MEMBERSHIPS = "/admin/orgs/membership/"
GROUPS = "/admin/orgs/group/"


def membership_of(user: User) -> Membership:
    return Membership.objects.get(user=user)


def test_list_shows_own_people_with_role_and_groups(cast: Cast, carol: Client) -> None:
    page = carol.get(LIST).content.decode()
    assert "Alice Adams" in page
    assert "Engineering" in page
    assert "Mallory" not in page


def test_person_of_two_organizations_shows_only_what_is_here(cast: Cast, carol: Client) -> None:
    Membership.objects.create(organization=cast.globex, user=cast.alice, role=Membership.Role.OWNER)
    for page in (carol.get(LIST), carol.get(f"{LIST}{cast.alice.pk}/change/")):
        assert "Globex" not in page.content.decode()
        assert "Owner" not in page.content.decode().split("changelist-filter")[0].split("<tbody")[-1]


def test_suspend_asks_first_then_ends_access_in_this_organization_alone(cast: Cast, carol: Client) -> None:
    elsewhere = Membership.objects.create(organization=cast.globex, user=cast.alice)
    address = f"{LIST}{cast.alice.pk}/suspend/"
    assert "their tokens end" in carol.get(address).content.decode()
    assert membership_of(cast.bob).status == "active"
    assert carol.post(address).status_code == 302
    assert Membership.objects.get(user=cast.alice, organization=cast.acme).status == "suspended"
    elsewhere.refresh_from_db()
    assert elsewhere.status == "active"
    event = AuditEvent.objects.get(type="person.suspended")
    assert (event.organization_id, event.user_id) == (cast.acme.pk, cast.carol.pk)
    assert carol.post(f"{LIST}{cast.alice.pk}/reactivate/").status_code == 302
    assert Membership.objects.get(user=cast.alice, organization=cast.acme).status == "active"


def test_suspend_last_administrator_is_refused_with_reason(cast: Cast, carol: Client) -> None:
    page = carol.post(f"{LIST}{cast.carol.pk}/suspend/", follow=True).content.decode()
    assert "last administrator" in page
    assert membership_of(cast.carol).status == "active"


def test_suspend_everywhere_is_for_superusers(cast: Cast, carol: Client, root: Client) -> None:
    address = f"{LIST}{cast.alice.pk}/suspend-everywhere/"
    assert carol.post(address).status_code == 403
    assert root.post(address).status_code == 302
    cast.alice.refresh_from_db()
    assert not cast.alice.is_active


def test_account_of_a_person_is_changed_by_superusers_alone(cast: Cast, carol: Client, root: Client) -> None:
    address = f"{LIST}{cast.alice.pk}/change/"
    given = {"username": "alice", "name": "Alicia", "email": "alice@acme.test"}
    assert carol.post(address, given).status_code == 403
    assert submit(root, address, **given).status_code == 302
    cast.alice.refresh_from_db()
    assert (cast.alice.name, cast.alice.has_usable_password()) == ("Alicia", False)
    assert AuditEvent.objects.filter(type="person.changed").exists()


def test_add_local_administrator_keeps_password_out_of_the_trail(root: Client) -> None:
    password = "correct horse battery"
    given = {"username": "ops", "name": "Ops", "email": "", "password": password, "is_superuser": "on"}
    assert root.post(f"{LIST}add/", given).status_code == 302
    user = User.objects.get(username="ops")
    assert user.check_password(password)
    assert (user.is_superuser, user.is_staff) == (True, True)
    assert all(password not in str(event.details) for event in AuditEvent.objects.all())


def test_add_local_administrator_with_weak_password_says_why(root: Client) -> None:
    given = {"username": "ops", "name": "Ops", "email": "", "password": "12345678"}
    answer = root.post(f"{LIST}add/", given)
    assert answer.status_code == 200
    assert "entirely numeric" in answer.content.decode()
    assert "12345678" not in answer.content.decode()
    assert not User.objects.filter(username="ops").exists()


def test_role_of_auditor_opens_the_admin(cast: Cast, carol: Client) -> None:
    address = f"{MEMBERSHIPS}{membership_of(cast.bob).pk}/change/"
    assert carol.post(address, {"role": "auditor"}).status_code == 302
    assert sign_in(User.objects.get(pk=cast.bob.pk)).get("/admin/").status_code == 200
    assert AuditEvent.objects.get(type="membership.changed").details["role"] == "auditor"


def test_role_of_owner_is_given_by_owners_alone(cast: Cast, carol: Client) -> None:
    address = f"{MEMBERSHIPS}{membership_of(cast.carol).pk}/change/"
    answer = carol.post(address, {"role": "owner"})
    assert "Only an owner" in answer.content.decode()
    assert membership_of(cast.carol).role == "admin"
    Membership.objects.filter(user=cast.carol).update(role="owner")
    address = f"{MEMBERSHIPS}{membership_of(cast.bob).pk}/change/"
    assert carol.post(address, {"role": "owner"}).status_code == 302
    assert membership_of(cast.bob).role == "owner"


def test_membership_of_other_organization_is_not_found(cast: Cast, carol: Client) -> None:
    address = f"{MEMBERSHIPS}{membership_of(cast.mallory).pk}"
    assert carol.get(f"{address}/change/").status_code == 404
    assert carol.post(f"{address}/suspend/").status_code == 404
    assert membership_of(cast.mallory).status == "active"


def test_add_membership_is_for_superusers(cast: Cast, carol: Client, root: Client) -> None:
    given = {"organization": str(cast.acme.pk), "user": str(cast.mallory.pk), "role": "member"}
    assert carol.post(f"{MEMBERSHIPS}add/", given).status_code == 403
    assert root.post(f"{MEMBERSHIPS}add/", given).status_code == 302
    assert Membership.objects.filter(user=cast.mallory, organization=cast.acme).exists()


def test_add_group_with_member_records_both(cast: Cast, carol: Client) -> None:
    given = {"organization": str(cast.acme.pk), "name": "Release", **formsets("group_memberships", cast.alice)}
    assert carol.post(f"{GROUPS}add/", given).status_code == 302
    member = GroupMembership.objects.get(group__name="Release")
    assert (member.user_id, member.source, member.organization_id) == (cast.alice.pk, "manual", cast.acme.pk)
    assert AuditEvent.objects.filter(type="group.changed").count() == 2


def test_add_stranger_to_group_is_refused_beside_the_field(cast: Cast, carol: Client) -> None:
    given = {"organization": str(cast.acme.pk), "name": "Release", **formsets("group_memberships", cast.mallory)}
    answer = carol.post(f"{GROUPS}add/", given)
    assert answer.status_code == 200
    assert "Mallory" not in answer.content.decode()
    assert not GroupMembership.objects.filter(user=cast.mallory).exists()


def test_member_given_by_the_identity_provider_stays(cast: Cast, carol: Client) -> None:
    member = GroupMembership.objects.get(user=cast.alice)
    GroupMembership.objects.filter(pk=member.pk).update(source="idp")
    given = {"name": "Engineering", **formsets("group_memberships")}
    given |= {"group_memberships-INITIAL_FORMS": "1", "group_memberships-TOTAL_FORMS": "1"}
    given |= {"group_memberships-0-id": str(member.pk), "group_memberships-0-group": str(cast.engineering.pk)}
    given |= {"group_memberships-0-DELETE": "on"}
    answer = carol.post(f"{GROUPS}{cast.engineering.pk}/change/", given)
    assert "identity provider keeps this" in answer.content.decode()
    assert GroupMembership.objects.filter(pk=member.pk).exists()


def test_delete_group_records_it(cast: Cast, carol: Client) -> None:
    assert carol.post(f"{GROUPS}{cast.sales.pk}/delete/", {"post": "yes"}).status_code == 302
    event = AuditEvent.objects.get(type="group.changed")
    assert (event.details["name"], event.details["deleted"]) == ("Sales", True)


def formsets(prefix: str, user: User | None = None) -> dict[str, str]:
    """What an inline's hidden fields say, with one new row where a person is given."""
    given = {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    return given | {f"{prefix}-TOTAL_FORMS": "1", f"{prefix}-0-user": str(user.pk)} if user is not None else given


def test_erase_asks_first_and_is_for_owners(cast: Cast, carol: Client) -> None:
    event = make_call(cast.pr_bot, cast.alice, cast.create_issue, content={"arguments": {"repo": "x"}})
    membership = Membership.objects.get(organization=cast.acme, user=cast.alice)
    address = f"/admin/orgs/membership/{membership.pk}/erase-content/"
    assert carol.post(address).status_code == 403
    assert open_payload(event).document == {"arguments": {"repo": "x"}}

    Membership.objects.filter(user=cast.carol).update(role="owner")
    page = carol.get(address).content.decode()
    assert "Alice Adams in Acme Corp, at 1 event, becomes unreadable for good" in page
    assert open_payload(event)
    assert carol.post(address).status_code == 302
    with pytest.raises(PayloadErasedError):
        open_payload(event)
    recorded = AuditEvent.objects.get(type="payload.erased")
    assert (recorded.user_id, recorded.details["payloads"]) == (cast.carol.pk, 1)
    assert carol.get(address).status_code == 404
