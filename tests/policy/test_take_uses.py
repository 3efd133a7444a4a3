"""Limits are counted exactly, by whatever counts them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.utils import timezone

from orgs.models import Organization
from policy.engine import Decision
from policy.models import LimitUse, Rule
from policy.services.create_rule import create_rule
from policy.services.simulate import simulate
from policy.services.take_uses import take_uses
from policy.services.update_rule import update_rule
from tests.factories import Cast, make_application, make_cast, make_rule

TWICE = {"limit_count": 2, "limit_period": "hour", "limit_per": "rule"}


def allow_elsewhere(cast: Cast, *layers: str) -> None:
    if "org" in layers:
        make_rule(cast.acme, "org", "allow")
    if "user" in layers:
        for person in (cast.alice, cast.bob):
            make_rule(cast.acme, "user", "allow", user=person)
    if "application" in layers:
        make_rule(cast.acme, "application", "allow", application=cast.pr_bot)


def decide(cast: Cast, **changes: Any) -> Decision:
    about = {"user": cast.alice, "application": cast.pr_bot, "capability": cast.create_issue, "arguments": {}}
    return simulate(organization=cast.acme, **{**about, **changes})


def call(cast: Cast, **changes: Any) -> str:
    decision = take_uses(organization_id=cast.acme.pk, decision=decide(cast, **changes))
    return decision.effect.value


def test_take_uses_up_to_the_limit_then_refuses_and_says_until_when(cast: Cast) -> None:
    allow_elsewhere(cast, "org", "user")
    rule = make_rule(cast.acme, "application", "allow", application=cast.pr_bot, **TWICE)
    assert [call(cast) for _ in range(4)] == ["allow", "allow", "deny", "deny"]

    refused = take_uses(organization_id=cast.acme.pk, decision=decide(cast))
    use = LimitUse.objects.get()
    until = use.began_at + dt.timedelta(hours=1)
    assert (use.rule, use.used) == (rule, 2)
    assert (refused.call.spent or {})[str(rule.pk)] == pytest.approx(until.timestamp(), abs=0.001)
    assert refused.explain()["sentence"] == (
        "Denied by the application layer: no rule there allows github:create_issue. Nearest is “PR-Bot may use every "
        "integration, at most 2 times an hour”, but its limit of 2 times an hour is used up, until "
        f"{until:%Y-%m-%d %H:%M} UTC."
    )


def test_take_begins_anew_after_the_period(cast: Cast) -> None:
    allow_elsewhere(cast, "org", "user")
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, **TWICE)
    assert [call(cast) for _ in range(3)] == ["allow", "allow", "deny"]
    LimitUse.objects.update(began_at=timezone.now() - dt.timedelta(minutes=59))
    assert call(cast) == "deny"
    LimitUse.objects.update(began_at=timezone.now() - dt.timedelta(minutes=60))
    assert [call(cast) for _ in range(3)] == ["allow", "allow", "deny"]


@pytest.mark.parametrize(
    ("per", "others"), [("rule", "deny deny"), ("application", "deny allow"), ("user", "allow deny")]
)
def test_take_counts_together_what_the_limit_says(cast: Cast, per: str, others: str) -> None:
    other = make_application(cast.acme, "Triage")
    make_rule(cast.acme, "application", "allow", application=other)
    allow_elsewhere(cast, "user", "application")
    make_rule(cast.acme, "org", "allow", **{**TWICE, "limit_count": 1, "limit_per": per})
    assert [call(cast), call(cast)] == ["allow", "deny"]
    assert [call(cast, user=cast.bob), call(cast, application=other)] == others.split()


def test_take_counts_nothing_where_a_rule_without_limit_allows_or_another_layer_refuses(cast: Cast) -> None:
    limited = make_rule(cast.acme, "application", "allow", application=cast.pr_bot, **TWICE)
    assert decide(cast).limits == ()  # nothing else allows
    allow_elsewhere(cast, "org", "user")
    assert [rule.id for rule in decide(cast).limits] == [str(limited.pk)]
    allow_elsewhere(cast, "application")
    assert decide(cast).limits == ()
    assert [call(cast) for _ in range(3)] == ["allow"] * 3
    assert not LimitUse.objects.exists()


def test_take_falls_back_to_another_limit_of_the_layer(cast: Cast) -> None:
    allow_elsewhere(cast, "org", "user")
    for count in (2, 1):
        make_rule(cast.acme, "application", "allow", application=cast.pr_bot, **{**TWICE, "limit_count": count})
    assert [call(cast) for _ in range(4)] == ["allow", "allow", "allow", "deny"]


def test_take_counts_all_limits_of_a_call_or_none(cast: Cast) -> None:
    allow_elsewhere(cast, "user")
    three = {**TWICE, "limit_count": 3}
    wide = make_rule(cast.acme, "org", "allow", **three)
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, **{**TWICE, "limit_count": 1})
    assert [call(cast) for _ in range(3)] == ["allow", "deny", "deny"]
    assert LimitUse.objects.get(rule=wide).used == 1


def test_take_without_a_user_counts_the_application(cast: Cast) -> None:
    make_rule(cast.acme, "org", "allow", application=cast.pr_bot, **{**TWICE, "limit_per": "user"})
    allow_elsewhere(cast, "application")
    assert [call(cast, user=None) for _ in range(3)] == ["allow", "allow", "deny"]
    assert LimitUse.objects.get().subject == cast.pr_bot.pk


@pytest.mark.django_db(transaction=True)
def test_take_by_many_at_once_lets_exactly_so_many_pass() -> None:
    cast = make_cast()
    allow_elsewhere(cast, "user")
    make_rule(cast.acme, "org", "allow", **{**TWICE, "limit_count": 25})
    make_rule(cast.acme, "application", "allow", application=cast.pr_bot, **{**TWICE, "limit_count": 20})
    decision = decide(cast)

    def take(_: int) -> str:
        close_old_connections()
        try:
            return take_uses(organization_id=cast.acme.pk, decision=decision).effect.value
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(take, range(60))) == {"allow": 20, "deny": 40}
    assert sorted(LimitUse.objects.values_list("used", flat=True)) == [20, 20]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limit_count": 3}, "limit_period"),
        ({"limit_period": "hour"}, "limit_count"),
        ({**TWICE, "limit_count": 0}, "limit_count"),
        ({**TWICE, "limit_period": "year"}, "limit_period"),
        ({**TWICE, "limit_per": "moon"}, "limit_per"),
        ({**TWICE, "effect": "deny"}, "limit_count"),
        ({**TWICE, "effect": "ask"}, "limit_count"),
    ],
)
def test_create_with_half_a_limit_or_on_what_does_not_allow_is_refused(
    cast: Cast, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        create_rule(organization=cast.acme, author=cast.carol, **{"layer": "org", "effect": "allow", **fields})
    assert field in refused.value.message_dict
    assert not Rule.objects.exists()


def test_update_to_a_deny_has_to_drop_the_limit(cast: Cast) -> None:
    rule = make_rule(cast.acme, "org", "allow", **TWICE)
    with pytest.raises(ValidationError):
        update_rule(rule=rule, effect="deny")
    update_rule(rule=rule, effect="deny", limit_count=None, limit_period="", limit_per="")
    rule.refresh_from_db()
    assert (rule.effect, rule.limit_count) == ("deny", None)


def test_database_refuses_half_a_limit_and_uses_of_other_organizations(cast: Cast) -> None:
    rule = make_rule(cast.acme, "org", "allow", **TWICE)
    with pytest.raises(IntegrityError), transaction.atomic():
        Rule.objects.filter(pk=rule.pk).update(limit_per="")
    with pytest.raises(IntegrityError), transaction.atomic():
        _count_for(cast.globex, rule)


def _count_for(organization: Organization, rule: Rule) -> None:
    LimitUse.objects.create(organization=organization, rule=rule, subject=rule.pk, began_at=timezone.now(), used=1)
    connection.check_constraints()  # which PostgreSQL would otherwise do at the commit
