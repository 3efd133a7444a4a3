"""Who may, what may they, and what may be done. Each result, asked about, is answered with yes."""

from __future__ import annotations

from typing import Any

import pytest

from connections.models import Integration
from orgs.models import Identity, IdentityProvider
from tests.authzen.client import Pdp, make_pdp
from tests.factories import (
    Cast,
    allow_integration,
    make_application,
    make_capability,
    make_group,
    make_integration,
    make_member,
    make_rule,
)

CALL = {"name": "tools/call", "properties": {"repo": "acme/frontend"}}
TOOL = {"type": "tool", "id": "github:create_issue"}


@pytest.fixture
def documents(cast: Cast) -> Integration:
    """A resource server of Acme's own that asks Kontext: Alice may read two documents, and PR-Bot may help her."""
    documents = make_integration(cast.acme, "document", auth_mode="none")
    allow_integration(cast.pr_bot, documents)
    for name in ("read", "write"):
        make_capability(documents, name)
    named = {"argument": "resource.id", "operator": "in", "value": ["d1", "d2"]}
    about = {"integration": documents}
    make_rule(cast.acme, "org", "allow", group=cast.engineering, capability="read", conditions=named, **about)
    make_rule(cast.acme, "user", "allow", user=cast.alice, **about)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, **about)
    secret = {"argument": "resource.id", "operator": "equals", "value": "d3"}
    make_rule(cast.acme, "user", "allow", user=cast.bob, conditions=secret, **about)
    return documents


def test_search_subjects_finds_who_may(cast: Cast, pdp: Pdp) -> None:
    answer = pdp.search("subject", {"subject": {"type": "user"}, "action": CALL, "resource": TOOL})
    assert answer.json["results"] == [{"type": "user", "id": str(cast.alice.pk)}]
    assert answer.json["page"] == {"next_token": "", "count": 1, "total": 1}
    question = {"subject": {"type": "user", "id": answer.ids[0]}, "action": CALL, "resource": TOOL}
    assert pdp.evaluate(question).decision is True


def test_search_subjects_names_them_as_their_identity_provider_does(cast: Cast, pdp: Pdp) -> None:
    IdentityProvider.objects.create(organization=cast.acme, name="SSO", issuer="https://idp.test", client_id="kontext")
    Identity.objects.create(user=cast.alice, issuer="https://idp.test", subject="alice")
    answer = pdp.search("subject", {"subject": {"type": "user", "id": "bob"}, "action": CALL, "resource": TOOL})
    assert answer.ids == ["alice"]


def test_search_subjects_finds_applications_that_may_on_their_own(cast: Cast, pdp: Pdp) -> None:
    asked = {"subject": {"type": "application"}, "action": CALL, "resource": TOOL}
    assert pdp.search("subject", asked).ids == []
    make_rule(cast.acme, "org", "allow", application=cast.pr_bot)
    assert pdp.search("subject", asked).ids == [cast.pr_bot.client_id]


def test_search_resources_finds_tools(cast: Cast, pdp: Pdp) -> None:
    asked = {"subject": {"type": "user", "id": str(cast.alice.pk)}, "action": CALL, "resource": {"type": "tool"}}
    assert pdp.search("resource", asked).ids == ["github:create_issue"]
    make_rule(cast.acme, "org", "ask", capability="create_issue")
    assert pdp.search("resource", asked).ids == []


def test_search_resources_finds_what_rules_about_the_subject_name(cast: Cast, pdp: Pdp, documents: Integration) -> None:
    asked: dict[str, Any] = {
        "subject": {"type": "user", "id": str(cast.alice.pk)},
        "action": {"name": "read"},
        "resource": {"type": "document", "id": "ignored"},
    }
    assert pdp.search("resource", asked).ids == ["d1", "d2"]
    make_rule(cast.acme, "org", "allow", group=cast.engineering)
    assert pdp.search("resource", asked).ids == ["d1", "d2"]  # d3 is in a rule of Bob's, and nobody else's to see


def test_search_actions_finds_capabilities(cast: Cast, pdp: Pdp, documents: Integration) -> None:
    asked = {"subject": {"type": "user", "id": str(cast.alice.pk)}, "resource": {"type": "document", "id": "d1"}}
    assert pdp.search("action", asked).json["results"] == [{"name": "read"}]
    assert pdp.search("action", {**asked, "resource": {"type": "document", "id": "d9"}}).ids == []
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot)
    assert pdp.search("action", {**asked, "resource": TOOL}).json["results"] == [{"name": "tools/call"}]


@pytest.mark.parametrize("sought", ["subject", "resource", "action"])
def test_search_with_what_is_not_known_finds_nothing(cast: Cast, pdp: Pdp, sought: str) -> None:
    known: dict[str, Any] = {"subject": {"type": "user", "id": str(cast.alice.pk)}, "action": CALL, "resource": TOOL}
    unknown = {
        "subject": [{"type": "spaceship", "id": "1"}, {"type": "user", "id": "nobody"}],
        "action": [{"name": "fly"}],
        "resource": [{"type": "planet", "id": "1"}, {"type": "tool", "id": "github:fly"}, {"type": "tool", "id": "x"}],
    }
    for name, entities in unknown.items():
        for entity in entities:
            asked = {**known, name: entity}
            if name == sought == "action":
                continue
            if name == sought:
                asked[name] = {"type": entity["type"]}
            answer = pdp.search(sought, asked)
            assert answer.status == 200
            if entity["type" if "type" in entity else "name"] not in ("user", "tool") or name != sought:
                assert answer.ids == [], asked


@pytest.mark.parametrize(
    ("sought", "missing", "field"),
    [
        ("subject", "action", "action"),
        ("resource", "subject", "subject"),
        ("action", "resource", "resource"),
        ("subject", "resource.id", "resource.id"),
        ("resource", "subject.id", "subject.id"),
        ("action", "subject.id", "subject.id"),
        ("subject", "subject.type", "subject.type"),
    ],
)
def test_search_without_what_it_needs_returns_400(cast: Cast, pdp: Pdp, sought: str, missing: str, field: str) -> None:
    asked: dict[str, Any] = {
        "subject": {"type": "user", "id": str(cast.alice.pk)},
        "action": CALL,
        "resource": dict(TOOL),
    }
    if sought == "action":
        del asked["action"]
    entity, _, part = missing.partition(".")
    del (asked[entity] if part else asked)[part or entity]
    answer = pdp.search(sought, asked)
    assert answer.status == 400
    assert list(answer.json["fields"]) == [field]


def test_search_for_others_without_role_returns_403(cast: Cast) -> None:
    helper = make_pdp(make_application(cast.acme, "Helper", owner=cast.alice))
    assert helper.search("subject", {"subject": {"type": "user"}, "action": CALL, "resource": TOOL}).status == 403
    own = {"subject": {"type": "user", "id": str(cast.alice.pk)}, "action": CALL, "resource": {"type": "tool"}}
    answer = helper.search("resource", {**own, "context": {"agent": cast.pr_bot.client_id}})
    assert answer.ids == ["github:create_issue"]
    other = {**own, "subject": {"type": "user", "id": str(cast.bob.pk)}}
    assert helper.search("resource", other).status == 403


def test_search_never_finds_another_organizations(cast: Cast) -> None:
    make_rule(cast.globex, "org", "allow")
    make_rule(cast.globex, "user", "allow", user=cast.mallory)
    make_rule(cast.globex, "application", "allow", application=cast.spy_bot)
    make_capability(cast.globex_github, "create_issue")
    spy = make_pdp(cast.spy_bot)
    answer = spy.search("subject", {"subject": {"type": "user"}, "action": CALL, "resource": TOOL})
    assert answer.ids == [str(cast.mallory.pk)]
    answer = spy.search("subject", {"subject": {"type": "application"}, "action": CALL, "resource": TOOL})
    assert set(answer.ids) <= {cast.spy_bot.client_id}


# Pages


@pytest.fixture
def team(cast: Cast) -> list[str]:
    """Return five members of a group that may, by identifier."""
    group = make_group(cast.acme, "Team")
    make_rule(cast.acme, "org", "allow", group=group)
    make_rule(cast.acme, "user", "allow", group=group)
    return sorted(str(make_member(cast.acme, f"P{number} X", groups=(group,)).pk) for number in range(5))


def test_search_in_pages_finds_each_once(cast: Cast, pdp: Pdp, team: list[str]) -> None:
    asked: dict[str, Any] = {"subject": {"type": "user"}, "action": CALL, "resource": TOOL}
    first = pdp.search("subject", {**asked, "page": {"limit": 4}})
    assert first.json["page"]["total"] == 6
    assert first.json["page"]["count"] == 4
    second = pdp.search("subject", {**asked, "page": {"token": first.json["page"]["next_token"]}})
    assert second.json["page"] == {"next_token": "", "count": 2, "total": 6}
    assert sorted(first.ids + second.ids) == sorted([*team, str(cast.alice.pk)])


def test_search_with_token_of_another_search_returns_400(cast: Cast, pdp: Pdp, team: list[str]) -> None:
    asked: dict[str, Any] = {"subject": {"type": "user"}, "action": CALL, "resource": TOOL}
    token = pdp.search("subject", {**asked, "page": {"limit": 2}}).json["page"]["next_token"]
    other_resource = {"type": "tool", "id": "github:delete_repo"}
    changes: dict[str, Any]
    for changes in (
        {"page": {"token": token}, "resource": other_resource},
        {"page": {"token": token}, "context": {"time": "2026-11-25T10:30:00Z"}},
        {"page": {"token": token, "limit": 3}},
        {"page": {"token": token + "x"}},
        {"page": {"token": ""}},
        {"page": {"token": 7}},
        {"page": {"limit": -1}},
        {"page": {"limit": True}},
        {"page": {"limit": "2"}},
        {"page": []},
    ):
        assert pdp.search("subject", {**asked, **changes}).status == 400, changes
    assert (
        make_pdp(make_application(cast.acme, "Other", owner=cast.carol))
        .search("subject", {**asked, "page": {"token": token}})
        .status
        == 400
    )


def test_search_takes_as_many_queries_for_many_people(
    cast: Cast, pdp: Pdp, team: list[str], django_assert_max_num_queries: Any
) -> None:
    asked = {"subject": {"type": "user"}, "action": CALL, "resource": TOOL}
    pdp.search("subject", asked)
    with django_assert_max_num_queries(16):
        assert len(pdp.search("subject", asked).ids) == 6
