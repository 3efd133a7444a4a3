"""Searches of the audit trail under a name: one's own, shared ones, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from audit.models import AuditEvent
from orgs.errors import NotAllowedToShareError, NotAMemberError
from orgs.models import Membership, SavedSearch, User
from orgs.services.save_search import save_search
from tests.admin.conftest import sign_in, submit
from tests.factories import Cast, make_call, make_member

ADD = "/admin/orgs/savedsearch/add/"
LIST = "/admin/audit/auditevent/"
DENIED = "outcome=denied&period=week"


def make_auditor(cast: Cast) -> User:
    olga = make_member(cast.acme, "Olga Owl", role=Membership.Role.AUDITOR)
    olga.is_staff = True
    olga.save()
    return olga


def save(cast: Cast, owner: User, name: str = "Denials", **options: Any) -> SavedSearch:
    return save_search(organization=cast.acme, owner=owner, name=name, query=DENIED, **options)


def find_events(kind: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(type=f"search.{kind}").order_by("pk"))


def test_save_from_the_explorer_keeps_what_was_asked_and_opens_again(cast: Cast, carol: Client) -> None:
    denied = make_call(cast.pr_bot, cast.alice, cast.create_issue, "denied")
    page = carol.get(LIST, {"outcome": "denied", "period": "week", "before": str(denied.pk)})
    answer = submit(carol, page.context["save_url"], name="Denials of the week")
    assert answer.status_code == 302
    search = SavedSearch.objects.get()
    assert (search.organization, search.owner, search.query, search.is_shared) == (cast.acme, cast.carol, DENIED, False)
    [event] = find_events("saved")
    assert (event.organization_id, event.user_id) == (cast.acme.pk, cast.carol.pk)
    assert event.details["query"] == DENIED
    [(shown, address)] = carol.get(LIST).context["saved"]
    assert shown == search
    assert [event for event, _ in carol.get(address).context["lines"]] == [denied]


@pytest.mark.parametrize("query", ["address=10.1.2", "type=nothing", "version=x", "start=yesterday"])
def test_save_what_the_explorer_can_not_read_is_refused(cast: Cast, carol: Client, query: str) -> None:
    answer = submit(carol, ADD, name="Wrong", query=query)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["query"]
    assert not SavedSearch.objects.exists()
    assert find_events("saved") == []


def test_save_drops_what_is_no_filter(cast: Cast, carol: Client) -> None:
    submit(carol, ADD, name="Odd", query=f"?{DENIED}&x=1&organization={cast.globex.pk}")
    assert not SavedSearch.objects.exists()  # another organization's is no filter here
    submit(carol, ADD, name="Odd", query=f"?x=1&organization={cast.acme.pk}&{DENIED}")
    assert SavedSearch.objects.get().query == DENIED


def test_change_and_delete_are_recorded_with_what_was(cast: Cast, carol: Client) -> None:
    search = save(cast, cast.carol)
    address = f"/admin/orgs/savedsearch/{search.pk}/change/"
    submit(carol, address)
    assert find_events("changed") == []
    submit(carol, address, name="Renamed", is_shared="on")
    search.refresh_from_db()
    assert (search.name, search.is_shared, search.owner) == ("Renamed", True, cast.carol)
    [event] = find_events("changed")
    assert event.details["before"] == {"name": "Denials", "query": DENIED, "is_shared": False}
    carol.post(f"/admin/orgs/savedsearch/{search.pk}/delete/", {"post": "yes"})
    assert not SavedSearch.objects.exists()
    [event] = find_events("deleted")
    assert (event.user_id, event.details["name"]) == (cast.carol.pk, "Renamed")


def test_second_search_of_the_same_name_is_refused(cast: Cast, carol: Client) -> None:
    save(cast, cast.carol)
    answer = submit(carol, ADD, name="Denials", query=DENIED)
    assert "You have a search of this name already" in answer.content.decode()
    assert SavedSearch.objects.count() == 1


def test_own_search_is_seen_by_nobody_else_and_shared_one_by_readers(cast: Cast, carol: Client) -> None:
    olga = make_auditor(cast)
    olgas, shared = save(cast, olga, "Olga's"), save(cast, cast.carol, "Shared", is_shared=True)
    auditor = sign_in(olga)
    assert [search for search, _ in carol.get(LIST).context["saved"]] == [shared]
    assert [search for search, _ in auditor.get(LIST).context["saved"]] == [olgas, shared]
    assert carol.get(f"/admin/orgs/savedsearch/{olgas.pk}/change/").status_code == 404
    assert auditor.get(f"/admin/orgs/savedsearch/{shared.pk}/change/").status_code == 200
    assert auditor.post(f"/admin/orgs/savedsearch/{shared.pk}/delete/", {"post": "yes"}).status_code == 403
    submit(auditor, f"/admin/orgs/savedsearch/{olgas.pk}/change/", name="Mine")
    olgas.refresh_from_db()
    assert olgas.name == "Mine"


def test_auditor_can_not_share_and_is_told_so(cast: Cast) -> None:
    olga = make_auditor(cast)
    answer = submit(sign_in(olga), ADD, name="For all", query=DENIED, is_shared="on")
    assert "Only owners and administrators share a search" in answer.content.decode()
    with pytest.raises(NotAllowedToShareError):
        save(cast, olga, is_shared=True)
    assert not SavedSearch.objects.exists()


def test_stranger_sees_and_saves_nothing(cast: Cast) -> None:
    search = save(cast, cast.carol, is_shared=True)
    mallory = sign_in(cast.mallory)
    assert mallory.get(f"/admin/orgs/savedsearch/{search.pk}/change/").status_code == 404
    assert list(mallory.get(LIST).context["saved"]) == []
    with pytest.raises(NotAMemberError):
        save(cast, cast.mallory)
    submit(mallory, ADD, name="Theirs", organization=str(cast.acme.pk))
    assert SavedSearch.objects.get() == search
