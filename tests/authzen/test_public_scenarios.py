"""The OpenID AuthZEN working group's public scenarios, against an organization that is set up with rules alone.

Sources: “AuthZEN Authorization API 1.0 - Certification Scenario” (all levels: basic, batch, search, discovery) and the
“Todo” interop scenario in its payloads for the Authorization API 1.0, both in the group's repository openid/authzen.
What is written here is ours: their users, roles, resources and expected decisions as facts, and the requests that these
come to. People's identifiers at their identity provider are the scenarios' own.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from connections.models import Integration
from orgs.models import Application, Group, GroupMembership, Identity, IdentityProvider, Organization, User
from policy.services.create_rule import create_rule
from policy.services.set_baseline import set_baseline
from tests.authzen.client import Pdp, make_pdp
from tests.factories import (
    allow_integration,
    make_application,
    make_capability,
    make_group,
    make_integration,
    make_member,
    make_organization,
)

ISSUER = "https://idp.interop.test"


class Scene:
    """An organization with one application: the enforcement point, which acts for people and asks about them."""

    def __init__(self) -> None:
        self.organization: Organization = make_organization("Interop")
        IdentityProvider.objects.create(organization=self.organization, name="SSO", issuer=ISSUER, client_id="kontext")
        owner = make_member(self.organization, "Olga Owner", role="owner")
        self.application: Application = make_application(self.organization, "Backend", owner=owner)
        # Only the organization's layer speaks in these scenarios.
        for layer in ("user", "application"):
            set_baseline(organization=self.organization, layer=layer, effect="allow")

    def add_integration(self, slug: str, actions: list[str]) -> Integration:
        integration = make_integration(self.organization, slug, auth_mode="none")
        allow_integration(self.application, integration)
        for name in actions:
            make_capability(integration, name)
        return integration

    def add_person(self, subject: str, groups: tuple[Group, ...] = ()) -> User:
        person = make_member(self.organization, f"Person {subject}", groups=groups)
        Identity.objects.create(user=person, issuer=ISSUER, subject=subject)
        return person

    def rule(self, effect: str, integration: Integration, capability: str, **fields: Any) -> None:
        create_rule(
            organization=self.organization,
            layer="org",
            effect=effect,
            integration=integration,
            capability=capability,
            author=None,
            **fields,
        )

    @property
    def pdp(self) -> Pdp:
        return make_pdp(self.application)


def equals(argument: str, value: Any) -> dict[str, Any]:
    return {"argument": argument, "operator": "equals", "value": value}


def exists(argument: str) -> dict[str, Any]:
    return {"argument": argument, "operator": "exists"}


# Certification


@pytest.fixture
def records(db: None) -> Pdp:
    """Alice reads and writes, and deletes softly; archived records are written by administrators alone; Bob is one."""
    scene = Scene()
    record = scene.add_integration("record", ["read", "write", "delete"])
    administrators = make_group(scene.organization, "Administrators")
    alice, bob = scene.add_person("alice"), scene.add_person("bob", (administrators,))
    # record-2 is archived; who asks may say so or leave it to us.
    is_archived = {
        "any": [
            {"all": [exists("resource.status"), equals("resource.status", "archived")]},
            {"all": [{"unless": exists("resource.status")}, equals("resource.id", "record-2")]},
        ]
    }
    says_admin = {"all": [exists("subject.role"), equals("subject.role", "admin")]}
    # Searches find the records that rules name: nobody else tells us which there are.
    known = {"argument": "resource.id", "operator": "in", "value": ["record-1", "record-2"]}
    scene.rule("allow", record, "read", user=alice, conditions=known)
    scene.rule("allow", record, "write", user=alice, conditions={"unless": is_archived})
    scene.rule("allow", record, "delete", user=alice, conditions=equals("soft", True))
    scene.rule("allow", record, "read", user=bob, conditions=known)
    scene.rule("allow", record, "write", group=administrators, conditions=is_archived)
    scene.rule("allow", record, "write", conditions={"all": [says_admin, is_archived]})
    return scene.pdp


ALICE, BOB = {"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}
ADMIN_BOB = {**BOB, "properties": {"role": "admin"}}
READ, WRITE = {"name": "read"}, {"name": "write"}
RECORD_1, RECORD_2 = {"type": "record", "id": "record-1"}, {"type": "record", "id": "record-2"}
ACTIVE_1 = {**RECORD_1, "properties": {"status": "active"}}
ARCHIVED_2 = {**RECORD_2, "properties": {"status": "archived"}}
CONTEXT = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}


def ask(subject: Any, action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    named = {"subject": subject, "action": action, "resource": resource}
    return {**{name: entity for name, entity in named.items() if entity is not None}, **more}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (ask(ALICE, READ, RECORD_1), True),
        (ask(ALICE, WRITE, RECORD_1), True),
        (ask(BOB, READ, RECORD_1), True),
        (ask(BOB, WRITE, RECORD_1), False),
        (ask(ALICE, WRITE, ARCHIVED_2), False),
        (ask(ADMIN_BOB, WRITE, ARCHIVED_2), True),
        (ask({**ALICE, "properties": {"role": "admin"}}, WRITE, ARCHIVED_2), True),
        (ask(ALICE, {"name": "delete", "properties": {"soft": True}}, RECORD_1), True),
        (ask(ALICE, {"name": "delete", "properties": {"soft": False}}, RECORD_1), False),
        (ask(ALICE, READ, RECORD_1, context=CONTEXT), True),
        (ask(ALICE, READ, RECORD_1, foo="bar", futureField={"nested": True}), True),
        (
            ask(
                {**ALICE, "properties": {"department": "Sales", "role": "manager"}},
                {**READ, "properties": {"method": "GET"}},
                {**RECORD_1, "properties": {"status": "active", "owner": "bob"}},
            ),
            True,
        ),
    ],
)
def test_certification_decides_as_the_fixture_says(records: Pdp, question: dict[str, Any], expected: bool) -> None:
    for _ in range(3):  # the same each time
        answer = records.evaluate(question)
        assert answer.decision is expected, answer.json
        assert answer.headers["Content-Type"].startswith("application/json")


def test_certification_refuses_each_incomplete_question(records: Pdp) -> None:
    complete = ask(ALICE, READ, RECORD_1)
    incomplete: list[Any] = [{name: value for name, value in complete.items() if name != left} for left in complete]
    parts = {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id")}
    for entity, names in parts.items():
        for name in names:
            incomplete.append({**complete, entity: {key: v for key, v in complete[entity].items() if key != name}})
    incomplete += [{**complete, "subject": "alice"}, {**complete, "action": {"name": 123}}, b"{", b""]
    assert {records.evaluate(question).status for question in incomplete} == {400}
    assert records.evaluate(complete, content_type="text/plain").status == 400


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({"subject": BOB, "resource": RECORD_1, "evaluations": [{"action": READ}, {"action": WRITE}]}, [True, False]),
        (
            {"subject": ALICE, "action": WRITE, "evaluations": [{"resource": ACTIVE_1}, {"resource": ARCHIVED_2}]},
            [True, False],
        ),
        (
            {"action": WRITE, "resource": ARCHIVED_2, "evaluations": [{"subject": ALICE}, {"subject": ADMIN_BOB}]},
            [False, True],
        ),
        ({"evaluations": [ask(ALICE, READ, RECORD_1), ask(BOB, WRITE, RECORD_1)]}, [True, False]),
        (ask(ALICE, WRITE, ACTIVE_1, evaluations=[{}, {"resource": ARCHIVED_2}]), [True, False]),
        (
            {
                "subject": ALICE,
                "action": READ,
                "options": {"evaluations_semantic": "execute_all"},
                "evaluations": [{"resource": RECORD_1}, {}],
            },
            [True, False],
        ),
    ],
)
def test_certification_decides_batches(records: Pdp, question: dict[str, Any], expected: list[bool]) -> None:
    assert records.evaluate_all(question) == expected


def test_certification_takes_batches_with_contexts_and_without_evaluations(records: Pdp) -> None:
    later = {"time": "2025-06-27T19:00-07:00", "source": "batch-override"}
    evaluations = [{"resource": RECORD_1}, {"resource": RECORD_2, "context": later}]
    batch = {"subject": ALICE, "action": READ, "context": {"time": CONTEXT["time"]}, "evaluations": evaluations}
    assert len(records.evaluate_all(batch)) == 2
    for without in (ask(ALICE, READ, RECORD_1), ask(ALICE, READ, RECORD_1, evaluations=[])):
        assert records.post("evaluations", without).decision is True


@pytest.mark.parametrize(
    ("sought", "question", "expected"),
    [
        ("subject", ask({"type": "user"}, READ, RECORD_1), {"alice", "bob"}),
        ("subject", ask({"type": "user"}, READ, RECORD_1, context=CONTEXT), {"alice", "bob"}),
        ("subject", ask(ALICE, READ, RECORD_1), {"alice", "bob"}),
        ("subject", ask({"type": "user"}, WRITE, ARCHIVED_2), {"bob"}),
        ("resource", ask(ALICE, READ, {"type": "record"}), {"record-1"}),
        ("resource", ask(ALICE, READ, {"type": "record"}, context=CONTEXT), {"record-1"}),
        ("resource", ask(ALICE, READ, RECORD_1), {"record-1"}),
        ("resource", ask(ADMIN_BOB, WRITE, {"type": "record"}), {"record-2"}),
        ("action", ask(ALICE, None, RECORD_1), {"read", "write"}),
        ("action", ask(ALICE, None, RECORD_1, context=CONTEXT), {"read", "write"}),
        ("action", ask(ADMIN_BOB, None, ARCHIVED_2), {"write"}),
    ],
)
def test_certification_searches(records: Pdp, sought: str, question: dict[str, Any], expected: set[str]) -> None:
    assert expected <= set(records.search(sought, question).ids)


def test_certification_searches_in_pages_and_finds_nothing_for_the_unknown(records: Pdp) -> None:
    search = ask({"type": "user"}, READ, RECORD_1)
    first = records.search("subject", {**search, "page": {"limit": 1}})
    second = records.search("subject", {**search, "page": {"token": first.json["page"]["next_token"]}})
    assert first.ids + second.ids == ["alice", "bob"]
    assert second.json["page"]["next_token"] == ""
    nobody, spaceship = {"type": "user", "id": "nonexistent-user"}, {"type": "spaceship"}
    assert records.search("action", ask(nobody, None, RECORD_1)).ids == []
    assert records.search("resource", ask(nobody, READ, {"type": "record"})).ids == []
    assert records.search("subject", ask(spaceship, READ, RECORD_1)).ids == []
    assert records.search("resource", ask(ALICE, READ, spaceship)).ids == []
    assert records.search("action", ask(ALICE, None, {**spaceship, "id": "1"})).ids == []


# Todo

ROLES = {
    "rick": ("admin", "evil_genius"),
    "morty": ("editor",),
    "summer": ("editor",),
    "beth": ("viewer",),
    "jerry": ("viewer",),
}
# What their identity provider calls them, and the address that to-dos name their owners by.
SUBJECTS = {
    name: f"CiRmZD{code}MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs"
    for name, code in {"rick": "A2", "morty": "E2", "summer": "I2", "beth": "M2", "jerry": "Q2"}.items()
}
ADDRESSES = {name: f"{name}@the-{'citadel' if name in ('rick', 'morty') else 'smiths'}.com" for name in ROLES}


@pytest.fixture
def todos(db: None) -> Pdp:
    """Everybody reads; editors make to-dos, and change and delete their own; two roles go beyond that."""
    scene = Scene()
    user = scene.add_integration("user", ["can_read_user"])
    changes = ["can_update_todo", "can_delete_todo"]
    todo = scene.add_integration("todo", ["can_read_todos", "can_create_todo", *changes])
    groups = {name: make_group(scene.organization, name) for name in ("viewer", "editor", "admin", "evil_genius")}
    scene.rule("allow", user, "can_read_user")
    scene.rule("allow", todo, "can_read_todos")
    for name in ("editor", "admin", "evil_genius"):
        scene.rule("allow", todo, "can_create_todo", group=groups[name])
    scene.rule("allow", todo, "can_delete_todo", group=groups["admin"])
    scene.rule("allow", todo, "can_update_todo", group=groups["evil_genius"])
    for name, roles in ROLES.items():
        person = scene.add_person(SUBJECTS[name])
        for role in roles:
            GroupMembership.objects.create(organization=scene.organization, group=groups[role], user=person)
        if roles != ("viewer",):  # who edits, edits what is theirs
            for change in changes:
                own = equals("resource.ownerID", ADDRESSES[name])
                scene.rule("allow", todo, change, user=person, conditions=own)
    return scene.pdp


def todo_of(owner: str) -> dict[str, Any]:
    number = list(ROLES).index(owner)
    return {"type": "todo", "id": f"7240d0db-{number}", "properties": {"ownerID": ADDRESSES[owner]}}


def decide_todo(actor: str, action: str, owner: str) -> bool:
    """Return what the scenario expects, from its description of the roles."""
    roles = ROLES[actor]
    match action:
        case "can_create_todo":
            return roles != ("viewer",)
        case "can_update_todo":
            return "evil_genius" in roles or ("editor" in roles and actor == owner)
        case "can_delete_todo":
            return "admin" in roles or ("editor" in roles and actor == owner)
    return True


def test_todo_interop_decides_as_its_roles_say(todos: Pdp) -> None:
    decided = 0
    for actor, owner in product(ROLES, ROLES):
        subject = {"type": "user", "id": SUBJECTS[actor]}
        resources = {
            "can_read_user": {"type": "user", "id": ADDRESSES[owner]},
            "can_read_todos": {"type": "todo", "id": "todo-1"},
            "can_create_todo": {"type": "todo", "id": "todo-1"},
            "can_update_todo": todo_of(owner),
            "can_delete_todo": todo_of(owner),
        }
        for action, resource in resources.items():
            expected = decide_todo(actor, action, owner)
            answer = todos.evaluate({"subject": subject, "action": {"name": action}, "resource": resource})
            assert answer.decision is expected, (actor, action, owner, answer.json)
            decided += 1
    assert decided == 125


@pytest.mark.parametrize(
    ("actor", "owners", "expected"),
    [
        ("rick", ("rick", "jerry"), [True, True]),
        ("morty", ("rick", "morty"), [False, True]),
        ("jerry", ("rick", "jerry"), [False, False]),
    ],
)
def test_todo_interop_decides_batches(todos: Pdp, actor: str, owners: tuple[str, ...], expected: list[bool]) -> None:
    batch = {
        "subject": {"type": "user", "id": SUBJECTS[actor]},
        "action": {"name": "can_update_todo"},
        "evaluations": [{"resource": todo_of(owner)} for owner in owners],
    }
    assert todos.evaluate_all(batch) == expected
