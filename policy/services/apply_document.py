"""Make an organization's rules those of a document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor
from orgs.models import Organization
from policy.checks import check_rule
from policy.describe import describe_rule
from policy.documents import Document, find_shared_rules
from policy.errors import DocumentError
from policy.models import Baseline, Layer, Rule
from policy.services.create_rule import create_rule
from policy.services.delete_rule import delete_rule
from policy.services.set_baseline import set_baseline
from policy.services.update_rule import update_rule
from policy.state import FIELDS, get_difference, get_state, write_value

# A rule that differs in nothing but the rest is taken for the same rule, changed.
_IDENTIFYING = ("layer", "effect", "user", "group", "application", "integration", "capability", "klass")


@dataclass(frozen=True)
class Changes:
    """What it takes to get from the stored rules to a document's."""

    created: list[Rule] = field(default_factory=list)
    updated: list[tuple[Rule, Rule]] = field(default_factory=list)
    deleted: list[Rule] = field(default_factory=list)
    baselines: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.deleted or self.baselines)

    def describe(self) -> Iterator[tuple[str, Rule | None]]:
        """Yield a line for each, beginning with +, ~ or -, and the rule as it is to be, if there is to be one."""
        for layer, (former, effect) in self.baselines.items():
            yield f"~ baseline of the {layer} layer: {former or 'none'} → {effect or 'none'}", None
        for rule in self.deleted:
            yield f"- {describe_rule(rule)}", None
        for stored, wanted in self.updated:
            difference = get_difference(get_state(stored), get_state(wanted))
            changed = [f"{name}: {write_value(old)} → {write_value(new)}" for name, (old, new) in difference.items()]
            yield f"~ {describe_rule(wanted)}  [{', '.join(changed)}]", wanted
        for rule in self.created:
            yield f"+ {describe_rule(rule)}", rule


def find_changes(*, organization: Organization, document: Document) -> Changes:
    """Return what applying a document would change. Raises DocumentError for rules that could not be stored."""
    problems = [problem for n, rule in enumerate(document.rules) for problem in _find_problems(rule, f"rules[{n}]")]
    if problems:
        raise DocumentError(problems)
    stored, wanted = _match(list(find_shared_rules(organization)), document.rules, FIELDS)[1:]
    pairs, deleted, created = _match(stored, wanted, _IDENTIFYING)
    return Changes(created, pairs, deleted, _find_baseline_changes(organization, document.baselines))


def apply_document(*, organization: Organization, document: Document, actor: Actor | None = None) -> Changes:
    """Create, change and delete rules until they are the document's, all or none, and return what changed.

    Each change is recorded like one made by hand. A second time, nothing changes. Rules that people have written in
    their own layer are not touched. Raises DocumentError.
    """
    with transaction.atomic():
        # One document at a time, or two could both find that a rule is missing.
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        changes = find_changes(organization=organization, document=document)
        for layer, (_, effect) in changes.baselines.items():
            set_baseline(organization=organization, layer=layer, effect=effect, actor=actor)
        for rule in changes.deleted:
            delete_rule(rule=rule, actor=actor)
        for stored, wanted in changes.updated:
            update_rule(rule=stored, actor=actor, **_get_fields(wanted))
        for rule in changes.created:
            create_rule(organization=organization, author=None, actor=actor, **_get_fields(rule))
    return changes


def _get_fields(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in FIELDS}


def _find_problems(rule: Rule, place: str) -> list[str]:
    try:
        check_rule(rule)
    except ValidationError as error:
        return [f"{place}.{name}: {text}" for name, texts in error.message_dict.items() for text in texts]
    return []


def _match(
    stored: list[Rule], wanted: list[Rule], fields: tuple[str, ...]
) -> tuple[list[tuple[Rule, Rule]], list[Rule], list[Rule]]:
    """Pair rules that are equal in the given fields; return the pairs, and what is left of each."""
    waiting: dict[str, list[Rule]] = defaultdict(list)
    for rule in stored:
        waiting[_get_key(rule, fields)].append(rule)
    pairs, missing = [], []
    for rule in wanted:
        candidates = waiting[_get_key(rule, fields)]
        if candidates:
            pairs.append((candidates.pop(0), rule))
        else:
            missing.append(rule)
    left = {rule.pk for rules in waiting.values() for rule in rules}
    return pairs, [rule for rule in stored if rule.pk in left], missing


def _get_key(rule: Rule, fields: tuple[str, ...]) -> str:
    state = get_state(rule)
    return write_value([state[name] for name in fields])


def _find_baseline_changes(
    organization: Organization, wanted: dict[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    stored = dict(Baseline.objects.for_organization(organization).values_list("layer", "effect"))
    both = {str(layer): (stored.get(layer), wanted.get(layer)) for layer in Layer.values}
    return {layer: pair for layer, pair in both.items() if pair[0] != pair[1]}
