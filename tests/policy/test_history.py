"""Every change of a rule can be found again, and taken back."""

from __future__ import annotations

import datetime as dt
import io
import json

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import AuditEvent
from orgs.ids import uuid7
from orgs.services.change_groups import delete_group
from policy.errors import NotAllowedToAuthorError
from policy.history import read_history
from policy.models import Rule
from policy.services.create_rule import create_rule
from policy.services.delete_rule import delete_rule
from policy.services.restore_rule import restore_rule
from policy.services.update_rule import update_rule
from tests.factories import Cast, make_rule

REPO = {"argument": "repo", "operator": "equals", "value": "acme/frontend"}


@pytest.fixture
def rule(cast: Cast) -> Rule:
    """A rule that Carol has written, and then changed twice."""
    rule = create_rule(
        organization=cast.acme,
        layer="org",
        effect="allow",
        group=cast.engineering,
        integration=cast.github,
        conditions=REPO,
        valid_until=timezone.now() + dt.timedelta(days=1),
        author=cast.carol,
    )
    update_rule(rule=rule, author=cast.carol, effect="deny")
    return update_rule(rule=rule, author=cast.carol, conditions=None, valid_until=None)


def test_history_tells_who_changed_what(cast: Cast, rule: Rule) -> None:
    make_rule(cast.globex, "org", "allow")
    delete_rule(rule=rule, author=cast.carol)
    revisions = list(read_history(organization=cast.acme, rule=rule.pk))
    assert [one.type for one in revisions] == ["rule.deleted", "rule.changed", "rule.changed", "rule.created"]
    assert {one.who for one in revisions} == {"Carol Clark"}
    assert revisions[2].changed == {"effect": ["allow", "deny"]}
    assert revisions[3].sentence.startswith("Engineering may use Github where repo is acme/frontend, until ")
    assert list(read_history(organization=cast.globex)) == []


def test_restore_brings_back_what_the_rule_said(cast: Cast, rule: Rule) -> None:
    created = AuditEvent.objects.get(type="rule.created")
    restored = restore_rule(organization=cast.acme, event=created.pk, author=cast.carol)
    assert restored.pk == rule.pk
    assert (restored.effect, restored.conditions) == ("allow", REPO)
    assert restored.valid_until is not None
    latest = next(read_history(organization=cast.acme))
    assert (latest.type, latest.state) == ("rule.changed", created.details["state"])


def test_restore_of_a_deleted_rule_writes_it_anew(cast: Cast, rule: Rule) -> None:
    delete_rule(rule=rule)
    deleted = AuditEvent.objects.get(type="rule.deleted")
    restored = restore_rule(organization=cast.acme, event=deleted.pk, author=cast.carol)
    assert restored.pk != rule.pk
    assert (restored.effect, restored.group, restored.conditions) == ("deny", cast.engineering, None)


def test_restore_without_its_group_is_refused(cast: Cast, rule: Rule) -> None:
    created = AuditEvent.objects.get(type="rule.created")
    delete_group(group=cast.engineering)
    with pytest.raises(ValidationError, match="The group that the rule was about is gone"):
        restore_rule(organization=cast.acme, event=created.pk, author=cast.carol)
    assert not Rule.objects.exists()


def test_restore_by_another_organization_or_person_is_refused(cast: Cast, rule: Rule) -> None:
    created = AuditEvent.objects.get(type="rule.created")
    with pytest.raises(ValidationError, match="There is no such change"):
        restore_rule(organization=cast.globex, event=created.pk, author=cast.mallory)
    with pytest.raises(NotAllowedToAuthorError):
        restore_rule(organization=cast.acme, event=created.pk, author=cast.alice)
    rule.refresh_from_db()
    assert rule.effect == "deny"


def test_delete_of_a_group_records_the_rules_that_go_with_it(cast: Cast, rule: Rule) -> None:
    group = str(cast.engineering.pk)
    delete_group(group=cast.engineering)
    assert not Rule.objects.exists()
    event = AuditEvent.objects.get(type="rule.deleted")
    assert event.organization_id == cast.acme.pk
    assert event.details["sentence"] == "Engineering may not use Github"
    assert event.details["because"] == "the group was deleted"
    assert event.details["state"]["group"] == group


def test_commands_list_and_take_back(cast: Cast, rule: Rule) -> None:
    text = run("history", "--rule", str(rule.pk))
    assert "changed by Carol Clark: Engineering may not use Github" in text
    assert '    effect: "allow" → "deny"' in text
    assert text.endswith("changes: 3\n")
    created = json.loads(run("history", "--json"))[-1]
    assert run("restore", "--event", created["event"]).startswith("restored: Engineering may use Github where repo is")
    rule.refresh_from_db()
    assert rule.effect == "allow"
    assert next(read_history(organization=cast.acme)).who == "manage.py policy restore"


@pytest.mark.parametrize("options", [[], ["--event", str(uuid7())]])
def test_command_without_a_known_change_says_so(cast: Cast, options: list[str]) -> None:
    with pytest.raises(CommandError, match=r"give --event|no such change"):
        run("restore", *options)


def run(action: str, *options: str) -> str:
    output = io.StringIO()
    call_command("policy", action, "--organization", "acme", *options, stdout=output)
    return output.getvalue()
