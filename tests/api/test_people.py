from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.api.conftest import READERS, Api, assert_error
from tests.factories import Cast

pytestmark = pytest.mark.django_db


def test_me_says_whose_token_it_is(cast: Cast, alice: Api) -> None:
    me = alice.get("/me").json["me"]
    assert me["user"] == {"id": str(cast.alice.pk), "name": "Alice Adams"}
    assert me["organization"] == {"id": str(cast.acme.pk), "name": "Acme Corp"}
    assert (me["application"]["name"], me["role"]) == ("Script", "member")


def test_members_are_this_organizations_alone(cast: Cast, carol: Api) -> None:
    items = carol.get("/members").json["items"]
    assert {item["id"] for item in items} == {str(cast.alice.pk), str(cast.bob.pk), str(cast.carol.pk)}
    assert [item["name"] for item in carol.get("/members", email="ALICE@acme.test").json["items"]] == ["Alice Adams"]
    assert [item["name"] for item in carol.get("/members", role="admin").json["items"]] == ["Carol Clark"]
    assert carol.get("/members", email="mallory@globex.test").json["items"] == []


def test_groups_are_found_by_name(cast: Cast, carol: Api, mallory: Api) -> None:
    (shown,) = carol.get("/groups", name="Engineering").json["items"]
    assert shown == {"id": str(cast.engineering.pk), "name": "Engineering", "managedBy": "manual", "memberCount": 1}
    assert len(carol.get("/groups").json["items"]) == 2
    assert mallory.get("/groups").json["items"] == []


@pytest.mark.parametrize("role", [*READERS, "member"])
def test_role_decides_who_sees_people(with_role: Callable[[str], Api], role: str) -> None:
    client = with_role(role)
    for path in ("/members", "/groups"):
        if role == "member":
            assert_error(client.get(path), 403, "kontext_forbidden")
        else:
            assert client.get(path).status == 200
    assert client.get("/me").json["me"]["role"] == role
