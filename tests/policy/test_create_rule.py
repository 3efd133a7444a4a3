"""Rules are checked, stored and recorded."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit.models import AuditEvent
from orgs.models import Membership, SnapshotVersion
from policy.errors import NotAllowedToAuthorError
from policy.models import Rule
from policy.services.create_rule import create_rule
from tests.factories import Cast, make_capability, make_member

SCHEMA = {"type": "object", "properties": {"repo": {"type": "string"}, "count": {"type": "integer"}}}
REPO = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}


def test_create_stores_the_rule_and_says_so(cast: Cast) -> None:
    rule = create_rule(
        organization=cast.acme,
        layer="application",
        effect="allow",
        application=cast.pr_bot,
        integration=cast.github,
        capability=" create_issue ",
        conditions=REPO,
        reason="Front end only",
        author=cast.carol,
    )

    stored = Rule.objects.get()
    assert (stored, stored.capability, stored.conditions) == (rule, "create_issue", REPO)
    assert stored.created_by == cast.carol
    event = AuditEvent.objects.get(type="rule.created")
    assert (event.organization_id, event.user_id, event.user_name) == (cast.acme.pk, cast.carol.pk, "Carol Clark")
    assert event.details["rule"] == str(rule.pk)
    assert event.details["sentence"] == "PR-Bot may use github:create_issue where repo is acme/frontend"
    assert event.details["state"]["conditions"] == REPO


def test_create_bumps_the_version_that_gateways_watch(cast: Cast) -> None:
    before = SnapshotVersion.objects.get(pk=cast.acme.pk).version
    create_rule(organization=cast.acme, layer="org", effect="allow", author=cast.carol)
    assert SnapshotVersion.objects.get(pk=cast.acme.pk).version > before


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"layer": "org", "effect": "perhaps"}, "effect"),
        ({"layer": "everything"}, "layer"),
        ({"layer": "org", "group": "engineering", "application": "pr_bot"}, "group"),
        ({"layer": "org", "user": "alice", "application": "pr_bot"}, "application"),
        ({"layer": "user"}, "user"),
        ({"layer": "user", "user": "alice", "group": "engineering"}, "group"),
        ({"layer": "application"}, "application"),
        ({"layer": "application", "application": "pr_bot", "user": "alice"}, "user"),
        ({"layer": "org", "user": "mallory"}, "user"),
        ({"layer": "org", "application": "spy_bot"}, "application"),
        ({"layer": "org", "integration": "globex_github"}, "integration"),
        ({"layer": "org", "capability": "create issue"}, "capability"),
        ({"layer": "org", "integration": "github", "capability": "github:create_issue"}, "capability"),
        ({"layer": "org", "capability": "x" * 256}, "capability"),
        ({"layer": "org", "reason": "x" * 256}, "reason"),
        ({"layer": "org", "klass": "harmless"}, "klass"),
        ({"layer": "org", "mode": "off"}, "mode"),
        ({"layer": "org", "conditions": {}}, "conditions"),
        ({"layer": "org", "conditions": {"argument": "repo", "operator": "equals", "value": "a\0b"}}, "conditions"),
        ({"layer": "org", "conditions": "repo"}, "conditions"),
        ({"layer": "org", "valid_from": dt.timedelta(days=2), "valid_until": dt.timedelta(days=1)}, "valid_until"),
    ],
)
def test_create_with_unacceptable_field_names_it_and_stores_nothing(
    cast: Cast, fields: dict[str, Any], field: str
) -> None:
    given = {key: _resolve(cast, value) for key, value in {"effect": "allow", **fields}.items()}
    with pytest.raises(ValidationError) as refused:
        create_rule(organization=cast.acme, author=None, **given)
    assert field in refused.value.message_dict
    assert not Rule.objects.exists()
    assert not AuditEvent.objects.exists()


def _resolve(cast: Cast, value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return timezone.now() + value
    return getattr(cast, value, value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("author", "fields"),
    [
        ("alice", {"layer": "org"}),
        ("alice", {"layer": "application", "application": "pr_bot"}),
        ("alice", {"layer": "user", "user": "bob"}),
        ("alice", {"layer": "user", "group": "engineering"}),
        ("carol", {"layer": "user", "user": "alice"}),
        ("mallory", {"layer": "org"}),
        ("mallory", {"layer": "application", "application": "pr_bot"}),
    ],
)
def test_create_by_someone_whose_layer_it_is_not_is_refused(cast: Cast, author: str, fields: dict[str, Any]) -> None:
    given = {key: _resolve(cast, value) for key, value in fields.items()}
    with pytest.raises(NotAllowedToAuthorError):
        create_rule(organization=cast.acme, effect="allow", author=getattr(cast, author), **given)
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    ("author", "fields"),
    [
        ("carol", {"layer": "org"}),
        ("carol", {"layer": "application", "application": "pr_bot"}),
        ("carol", {"layer": "user", "group": "engineering"}),
        ("alice", {"layer": "user", "user": "alice"}),
        ("alice", {"layer": "user", "user": "alice", "application": "pr_bot"}),
    ],
)
def test_create_by_whom_it_belongs_to_is_accepted(cast: Cast, author: str, fields: dict[str, Any]) -> None:
    given = {key: _resolve(cast, value) for key, value in fields.items()}
    create_rule(organization=cast.acme, effect="allow", author=getattr(cast, author), **given)
    assert Rule.objects.get().created_by == getattr(cast, author)


def test_create_for_own_application_is_accepted_until_its_owner_is_suspended(cast: Cast) -> None:
    cast.pr_bot.owner = cast.bob
    cast.pr_bot.save()
    fields: dict[str, Any] = {"layer": "application", "effect": "allow", "application": cast.pr_bot}
    create_rule(organization=cast.acme, author=cast.bob, **fields)
    Membership.objects.filter(user=cast.bob).update(status="suspended")
    with pytest.raises(NotAllowedToAuthorError):
        create_rule(organization=cast.acme, author=cast.bob, **fields)


def test_create_by_policy_author_is_accepted(cast: Cast) -> None:
    paul = make_member(cast.acme, "Paul Page", role=Membership.Role.POLICY_AUTHOR)
    create_rule(organization=cast.acme, layer="org", effect="deny", author=paul)
    assert Rule.objects.exists()


def test_create_with_argument_that_no_capability_has_is_refused(cast: Cast) -> None:
    make_capability(cast.github, "search", input_schema=SCHEMA)
    conditions = {"argument": "repository", "operator": "equals", "value": "acme/frontend"}
    with pytest.raises(ValidationError) as refused:
        create_rule(
            organization=cast.acme,
            layer="org",
            effect="allow",
            integration=cast.github,
            capability="search",
            conditions=conditions,
            author=cast.carol,
        )
    assert refused.value.message_dict["conditions"] == [
        "The capability has no argument “repository”. It has count, repo."
    ]


def test_create_for_pattern_needs_one_capability_with_the_argument(cast: Cast) -> None:
    make_capability(cast.github, "search_code", input_schema=SCHEMA)
    make_capability(cast.github, "search_users", input_schema={"properties": {"name": {"type": "string"}}})
    given: dict[str, Any] = {"organization": cast.acme, "layer": "org", "effect": "deny", "author": cast.carol}
    create_rule(**given, integration=cast.github, capability="search_*", conditions=REPO)
    with pytest.raises(ValidationError):
        create_rule(**given, integration=cast.github, capability="search_users", conditions=REPO)
