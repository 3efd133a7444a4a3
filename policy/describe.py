"""Every rule as one sentence: “PR-Bot may use github:create_issue where repo is acme/frontend”."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from policy.engine.conditions import Condition, ConditionError, Unless, parse_conditions
from policy.engine.types import Limit, Per, Period
from policy.engine.words import describe_condition, describe_limit
from policy.models import Rule

# What rules about a class let applications do: as after “may”, and as after a subject.
_VERBS = {"": ("use", "uses"), "read": ("read in", "reads in"), "write": ("write in", "writes in")}
_CLASSES = {"read": "reads", "write": "writes", "destructive": "destroys"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A rule with names in place of references; empty where it names none."""

    layer: str
    effect: str
    user: str = ""
    group: str = ""
    application: str = ""
    integration: str = ""
    integration_slug: str = ""
    capability: str = ""
    klass: str = ""
    conditions: Any = None
    valid_from: dt.datetime | None = None
    valid_until: dt.datetime | None = None
    limit: Limit | None = None
    is_shadow: bool = False
    is_enabled: bool = True


def describe_rule(rule: Rule) -> str:
    """Return how a rule reads to people. Costs queries unless its relations were fetched (`with_names`)."""
    return describe(
        Wording(
            layer=rule.layer,
            effect=rule.effect,
            user=str(rule.user or ""),
            group=rule.group.name if rule.group else "",
            application=str(rule.application or ""),
            integration=rule.integration.name if rule.integration else "",
            integration_slug=rule.integration.slug if rule.integration else "",
            capability=rule.capability,
            klass=rule.klass,
            conditions=rule.conditions,
            valid_from=rule.valid_from,
            valid_until=rule.valid_until,
            limit=make_limit(rule.limit_count, rule.limit_period, rule.limit_per),
            is_shadow=rule.mode == Rule.Mode.SHADOW,
            is_enabled=rule.is_enabled,
        )
    )


def describe(rule: Wording) -> str:
    speak = _speak_for_person if rule.layer == "user" else _speak_about
    limit = f", at most {describe_limit(rule.limit)}" if rule.limit is not None else ""
    head = f"{speak(rule)}{_describe_conditions(rule.conditions)}{limit}"
    return f"{head}{_describe_validity(rule)}{_describe_mode(rule)}"


def make_limit(count: int | None, period: str, per: str) -> Limit | None:
    """Return a rule's limit as the engine takes it; none where a part is missing or no such thing."""
    if not count or period not in Rule.Period.values or per not in Rule.Per.values:
        return None
    return Limit(count=count, period=Period(period), per=Per(per))


def _speak_for_person(rule: Wording) -> str:
    person = rule.user or f"Every member of {rule.group}"
    if rule.effect == "ask":
        return f"{person} is asked before {rule.application or 'any application'} {_act(rule)[1]}"
    if rule.effect == "allow":
        return f"{person} lets {rule.application or 'every application'} {_act(rule)[0]}"
    if rule.application:
        return f"{person} does not let {rule.application} {_act(rule)[0]}"
    return f"{person} lets no application {_act(rule)[0]}"


def _speak_about(rule: Wording) -> str:
    subject = rule.user or rule.group or rule.application
    act = _act(rule)[0]
    if rule.effect == "allow":
        return f"{subject or 'Everyone'} may {act}"
    if rule.effect == "ask":
        return f"{subject or 'Everyone'} needs approval to {act}"
    return f"{subject} may not {act}" if subject else f"Nobody may {act}"


def _act(rule: Wording) -> tuple[str, str]:
    """Return what the rule is about doing, as after “may” and as after a subject: (“use GitHub”, “uses GitHub”)."""
    place = rule.integration or ("every integration" if rule.effect == "allow" else "any integration")
    if rule.capability:
        named = f"{rule.integration_slug}:{rule.capability}" if rule.integration else f"{rule.capability} in {place}"
        kind = f" (only what {_CLASSES[rule.klass]})" if rule.klass else ""
        return f"use {named}{kind}", f"uses {named}{kind}"
    if rule.klass == "destructive":
        what = "things" if rule.effect == "allow" else "anything"
        return f"destroy {what} in {place}", f"destroys {what} in {place}"
    base, third = _VERBS[rule.klass]
    return f"{base} {place}", f"{third} {place}"


def _describe_conditions(conditions: Any) -> str:
    if conditions is None:
        return ""
    try:
        return _describe_clause(parse_conditions(conditions))
    except ConditionError:
        return " under conditions that can't be read"


def _describe_clause(condition: Condition) -> str:
    match condition:
        case Unless(Unless(part)):
            return _describe_clause(part)
        case Unless(part):
            return f" unless {describe_condition(part)}"
    return f" where {describe_condition(condition)}"


def _describe_validity(rule: Wording) -> str:
    begins = f", from {_describe_moment(rule.valid_from)}" if rule.valid_from else ""
    ends = f", until {_describe_moment(rule.valid_until)}" if rule.valid_until else ""
    return begins + ends


def _describe_moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _describe_mode(rule: Wording) -> str:
    if not rule.is_enabled:
        return " (switched off)"
    return " (recorded, not applied)" if rule.is_shadow else ""
