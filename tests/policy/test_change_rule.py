"""Rules are changed and deleted, baselines set, and each change is recorded as what it was."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from audit.models import AuditEvent
from policy.errors import NotAllowedToAuthorError
from policy.models import Baseline, Rule
from policy.services.delete_rule import delete_rule
from policy.services.set_baseline import set_baseline
from policy.services.update_rule import update_rule
from tests.factories import Cast, make_rule


@pytest.fixture
def rule(cast: Cast) -> Rule:
    return make_rule(cast.acme, "org", "allow", group=cast.engineering, integration=cast.github)


def test_update_records_what_was_and_what_is(cast: Cast, rule: Rule) -> None:
    updated = update_rule(rule=rule, author=cast.carol, effect="deny", group=cast.sales, reason=" Not now ")

    assert (updated.effect, updated.group, updated.reason) == ("deny", cast.sales, "Not now")
    assert Rule.objects.get().effect == "deny"
    event = AuditEvent.objects.get(type="rule.changed")
    assert event.user_id == cast.carol.pk
    assert event.details["changed"] == {
        "effect": ["allow", "deny"],
        "group": [str(cast.engineering.pk), str(cast.sales.pk)],
        "reason": ["", "Not now"],
    }
    assert event.details["sentence"] == "Sales may not use Github"


def test_update_with_nothing_new_records_nothing(rule: Rule) -> None:
    update_rule(rule=rule, effect="allow")
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"effect": "perhaps"}, "effect"),
        ({"layer": "user"}, "integration"),
        ({"conditions": {"any": []}}, "conditions"),
        ({"organization": "globex"}, "organization"),
        ({"created_by": "mallory"}, "created_by"),
    ],
)
def test_update_with_unacceptable_change_changes_nothing(
    cast: Cast, rule: Rule, changes: dict[str, Any], field: str
) -> None:
    if "layer" in changes:
        changes = {**changes, "integration": cast.globex_github}
    with pytest.raises(ValidationError) as refused:
        update_rule(rule=rule, **changes)
    assert field in refused.value.message_dict
    assert Rule.objects.get().effect == "allow"
    assert not AuditEvent.objects.exists()


def test_update_from_true_to_one_is_a_change(rule: Rule) -> None:
    """To Python they are equal; to the engine they are not."""
    Rule.objects.update(conditions={"argument": "draft", "operator": "equals", "value": True})
    update_rule(rule=rule, conditions={"argument": "draft", "operator": "equals", "value": 1})
    conditions = Rule.objects.get().conditions
    assert conditions is not None
    assert conditions["value"] is not True
    assert AuditEvent.objects.filter(type="rule.changed").exists()


def test_update_of_a_rule_that_is_gone_says_so(rule: Rule) -> None:
    Rule.objects.all().delete()
    with pytest.raises(Rule.DoesNotExist):
        update_rule(rule=rule, effect="deny")


def test_update_by_someone_whose_layer_it_is_not_is_refused(cast: Cast, rule: Rule) -> None:
    with pytest.raises(NotAllowedToAuthorError):
        update_rule(rule=rule, author=cast.alice, effect="deny")
    with pytest.raises(NotAllowedToAuthorError):
        delete_rule(rule=rule, author=cast.mallory)
    assert Rule.objects.get().effect == "allow"


def test_update_of_own_rule_into_another_layer_is_refused(cast: Cast) -> None:
    own = make_rule(cast.acme, "user", "allow", user=cast.alice)
    with pytest.raises(NotAllowedToAuthorError):
        update_rule(rule=own, author=cast.alice, layer="org", user=None)
    with pytest.raises(NotAllowedToAuthorError):
        update_rule(rule=own, author=cast.alice, user=cast.bob)
    own.refresh_from_db()
    assert (own.layer, own.user) == ("user", cast.alice)


def test_delete_records_what_the_rule_said(cast: Cast, rule: Rule) -> None:
    key = str(rule.pk)
    delete_rule(rule=rule, author=cast.carol)
    assert not Rule.objects.exists()
    event = AuditEvent.objects.get(type="rule.deleted")
    assert (event.details["rule"], event.details["sentence"]) == (key, "Engineering may use Github")
    assert event.details["state"]["effect"] == "allow"


def test_delete_of_a_rule_that_is_gone_records_nothing(rule: Rule) -> None:
    Rule.objects.filter(pk=rule.pk).delete()
    delete_rule(rule=rule)
    assert not AuditEvent.objects.exists()


def test_set_baseline_stores_changes_and_removes(cast: Cast) -> None:
    for effect in ("allow", "allow", "ask", None, None):
        set_baseline(organization=cast.acme, layer="application", effect=effect)
        stored = Baseline.objects.filter(organization=cast.acme).first()
        assert (stored.effect if stored else None) == effect
    changes = [event.details["changed"]["effect"] for event in AuditEvent.objects.order_by("id")]
    assert changes == [[None, "allow"], ["allow", "ask"], ["ask", None]]


@pytest.mark.parametrize(("layer", "effect"), [("integration", "allow"), ("org", "perhaps"), ("", None)])
def test_set_baseline_with_unknown_value_is_refused(cast: Cast, layer: str, effect: str | None) -> None:
    with pytest.raises(ValidationError):
        set_baseline(organization=cast.acme, layer=layer, effect=effect)
    assert not Baseline.objects.exists()
