"""Whether a rule makes sense before it is stored."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from connections.models import Capability
from orgs.models import Membership
from policy.conditions import check_conditions, check_conditions_against_any
from policy.engine.matching import compile_pattern
from policy.models import Rule

_MAX_SUBJECTS = {
    "org": "A rule of the organization layer is about everyone, one group, one person or one application.",
    "user": "A rule of the user layer belongs to one person or one group.",
    "application": "A rule of the application layer is about its application alone.",
}


def check_rule(rule: Rule) -> None:
    """Raise ValidationError, keyed by field, for what could not be stored, would mean nothing, or reach elsewhere."""
    problems = {**_find_subject_problems(rule), **_find_foreign_references(rule), **_find_other_problems(rule)}
    if problems:
        raise ValidationError({name: [text] for name, text in problems.items()})
    rule.full_clean()
    _check_conditions(rule)


def _find_subject_problems(rule: Rule) -> dict[str, str]:
    has_user, has_group, has_application = rule.user_id, rule.group_id, rule.application_id
    if rule.layer == "application":
        if not has_application:
            return {"application": "Choose the application that the rule is about."}
        return {name: _MAX_SUBJECTS["application"] for name in ("user", "group") if getattr(rule, f"{name}_id")}
    if rule.layer == "user":
        if has_user and has_group:
            return {"group": _MAX_SUBJECTS["user"]}
        return {} if has_user or has_group else {"user": "Choose the person or the group whose layer it is."}
    if sum(map(bool, (has_user, has_group, has_application))) > 1:
        return {"group" if has_group else "application": _MAX_SUBJECTS["org"]}
    return {}


def _find_foreign_references(rule: Rule) -> dict[str, str]:
    """The database refuses these too, but can't say which field it was."""
    problems: dict[str, str] = {}
    owned: dict[str, Any] = {"group": rule.group, "application": rule.application, "integration": rule.integration}
    for name, row in owned.items():
        if row is not None and row.organization_id != rule.organization_id:
            problems[name] = f"Choose one of this organization's {name}s."
    if rule.user_id and not Membership.objects.filter(organization=rule.organization_id, user=rule.user_id).exists():
        problems["user"] = "Choose a member of this organization."
    return problems


def _find_other_problems(rule: Rule) -> dict[str, str]:
    problems: dict[str, str] = {}
    if rule.valid_from and rule.valid_until and rule.valid_from >= rule.valid_until:
        problems["valid_until"] = "The rule must end after it begins."
    problems.update(_find_limit_problems(rule))
    if any(character.isspace() or not character.isprintable() for character in rule.capability):
        problems["capability"] = "A capability is written without spaces, such as create_issue or create_*."
    elif rule.integration and rule.capability.startswith(f"{rule.integration.slug}:"):
        own_name = rule.capability.partition(":")[2]
        problems["capability"] = f"Leave out the integration, which is chosen separately: write {own_name or '*'}."
    return problems


def _find_limit_problems(rule: Rule) -> dict[str, str]:
    given = {"limit_count": rule.limit_count, "limit_period": rule.limit_period, "limit_per": rule.limit_per}
    if not any(value not in (None, "") for value in given.values()):
        return {}
    if rule.effect != "allow":
        return {"limit_count": "Only a rule that allows can have a limit: beyond it, nothing allows the call."}
    missing = [name for name, value in given.items() if value in (None, "")]
    return dict.fromkeys(missing, "A limit says how often, in which period, and whose calls it counts together.")


def _check_conditions(rule: Rule) -> None:
    """A test of an argument that no capability in question has is refused; nothing discovered yet, nothing refused."""
    check_conditions(rule.conditions)
    if rule.conditions is None or rule.integration is None:
        return
    matches = compile_pattern(rule.capability or "*")
    offered = Capability.objects.filter(integration=rule.integration, kind=Capability.Kind.TOOL)
    rows = offered.exclude(status=Capability.Status.REMOVED).values_list("name", "klass", "input_schema")
    schemas = [
        schema
        for name, klass, schema in rows
        if matches(name) and rule.klass in ("", klass) and isinstance(schema, dict)
    ]
    check_conditions_against_any(rule.conditions, schemas)
