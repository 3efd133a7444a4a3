"""An organization's rules as a YAML document: people, groups, applications and integrations by name, to be reviewed.

A document has `rules` and `baselines`. It holds the organization's and the applications' rules and what groups hand
down. What people have said in their own layer is theirs, and never in it.

    baselines: {application: ask}
    rules:
      # PR-Bot may use github:create_issue where repo is acme/frontend
      - layer: application
        effect: allow
        application: PR-Bot
        integration: github
        capability: create_issue
        conditions: {argument: repo, operator: equals, value: acme/frontend}
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from textwrap import indent
from typing import Any

import yaml
from django.db.models import QuerySet

from connections.models import Integration
from orgs.models import Application, Group, Organization, User
from policy.describe import describe_rule
from policy.errors import DocumentError
from policy.models import Baseline, Effect, Layer, Rule

_TEXTS = ("capability", "reason")
_KEYS = {"layer", "effect", "user", "group", "application", "integration", *_TEXTS, "class", "conditions"}
_KEYS |= {"from", "until", "limit", "mode", "enabled"}
_LIMIT_KEYS = {"count", "period", "per"}


@dataclass(frozen=True)
class Document:
    """What a document asks for: rules that are not stored yet, and the baselines of the layers that have one."""

    rules: list[Rule] = field(default_factory=list)
    baselines: dict[str, str] = field(default_factory=dict)


def find_shared_rules(organization: Organization) -> QuerySet[Rule]:
    """Return the rules that documents are about."""
    personal = {"layer": Layer.USER, "user__isnull": False}
    return Rule.objects.for_organization(organization).exclude(**personal).with_names().order_by("layer", "id")


def write_document(organization: Organization) -> str:
    """Return the organization's document. Reading it back changes nothing."""
    names = Names(organization)
    baselines = dict(Baseline.objects.for_organization(organization).order_by("layer").values_list("layer", "effect"))
    rules = [_write_rule(rule, names) for rule in find_shared_rules(organization)]
    head = _dump({"baselines": baselines}) if baselines else ""
    return f"{head}rules:\n{''.join(rules)}" if rules else f"{head}rules: []\n"


def read_document(organization: Organization, text: str) -> Document:
    """Return what a document asks for. Raises DocumentError with every problem and its place."""
    data = load_yaml(text)
    problems = Problems()
    if not isinstance(data, dict):
        raise DocumentError(["the document is a mapping with `rules` and `baselines`"])
    problems.check_keys(data, {"rules", "baselines"}, "the document")
    reader = _Reader(organization, problems)
    rules = [reader.read_rule(rule, f"rules[{n}]") for n, rule in enumerate(problems.get_list(data, "rules"))]
    baselines = reader.read_baselines(data.get("baselines") or {})
    problems.raise_if_any()
    return Document([rule for rule in rules if rule is not None], baselines)


def load_yaml(text: str) -> Any:
    """Return what YAML says. Raises DocumentError, also for a key that is there twice: only one could count."""
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise DocumentError([f"this is not YAML: {' '.join(str(error).split())}"]) from None


class Problems:
    """What is wrong with a document, each with its place."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, place: str, text: str) -> None:
        self.texts.append(f"{place}: {text}")

    def check_keys(self, data: dict[str, Any], known: set[str], place: str) -> None:
        for key in sorted(map(str, set(data) - known)):
            self.add(place, f"unknown key {key!r}; known are {', '.join(sorted(known))}")

    def get_list(self, data: dict[str, Any], key: str) -> list[Any]:
        found = data.get(key)
        if not isinstance(found, list):
            self.add(key, "this is a list")
            return []
        return found

    def raise_if_any(self) -> None:
        if self.texts:
            raise DocumentError(self.texts)


class Names:
    """An organization's people, groups, applications and integrations by the names that documents use.

    People go by their e-mail address, integrations by their slug; an application also by its client ID, which is
    needed where two have one name.
    """

    def __init__(self, organization: Organization) -> None:
        self._organization = organization

    @cached_property
    def user(self) -> dict[str, list[User]]:
        people = User.objects.filter(memberships__organization=self._organization)
        return _group((person.email, person) for person in people)

    @cached_property
    def group(self) -> dict[str, list[Group]]:
        return _group((group.name, group) for group in Group.objects.for_organization(self._organization))

    @cached_property
    def application(self) -> dict[str, list[Application]]:
        found = list(Application.objects.for_organization(self._organization))
        return _group(pair for one in found for pair in ((one.name, one), (one.client_id, one)))

    @cached_property
    def integration(self) -> dict[str, list[Integration]]:
        return _group((one.slug, one) for one in Integration.objects.for_organization(self._organization))

    def find(self, kind: str, name: Any, place: str, problems: Problems) -> Any:
        found = getattr(self, kind).get(name, []) if isinstance(name, str) else []
        if len(found) == 1:
            return found[0]
        several = "several have this name" + ("; write its client ID" if kind == "application" else "")
        problems.add(f"{place}.{kind}", several if found else f"the organization has no {kind} {str(name)[:80]!r}")
        return None

    def write_application(self, application: Application) -> str:
        is_clear = len(self.application[application.name]) == 1
        return application.name if is_clear else application.client_id


class _Reader:
    def __init__(self, organization: Organization, problems: Problems) -> None:
        self._organization, self._names, self._problems = organization, Names(organization), problems

    def read_rule(self, data: Any, place: str) -> Rule | None:
        problems = self._problems
        if not isinstance(data, dict):
            problems.add(place, "a rule is a mapping")
            return None
        problems.check_keys(data, _KEYS, place)
        if data.get("layer") == Layer.USER and data.get("user") is not None:
            problems.add(place, "what people say in their own layer is not in documents; name a group")
        texts = {key: self._read_text(data, key, place) for key in (*_TEXTS, "layer", "effect", "class", "mode")}
        return Rule(
            organization=self._organization,
            layer=texts["layer"],
            effect=texts["effect"],
            capability=texts["capability"],
            reason=texts["reason"],
            klass=texts["class"],
            mode=texts["mode"] or Rule.Mode.ENFORCE,
            conditions=data.get("conditions"),
            valid_from=self._read_time(data, "from", place),
            valid_until=self._read_time(data, "until", place),
            is_enabled=self._read_enabled(data, place),
            **self._read_limit(data, place),
            **{
                kind: self._names.find(kind, data[kind], place, problems)
                for kind in ("user", "group", "application", "integration")
                if data.get(kind) is not None
            },
        )

    def read_baselines(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict):
            self._problems.add("baselines", "this is a mapping of layers to effects")
            return {}
        for layer, effect in data.items():
            if layer not in Layer.values or effect not in Effect.values:
                self._problems.add(f"baselines.{layer}", f"{effect!r} is no effect, or {layer!r} no layer")
        return data

    def _read_text(self, data: dict[str, Any], key: str, place: str) -> str:
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            self._problems.add(f"{place}.{key}", "this is a text; quote it")
            return ""
        return (value or "").strip()

    def _read_time(self, data: dict[str, Any], key: str, place: str) -> dt.datetime | None:
        value = data.get(key)
        if value is None:
            return None
        if isinstance(value, dt.datetime):
            return value.replace(tzinfo=value.tzinfo or dt.UTC)
        self._problems.add(f"{place}.{key}", "a time is written as 2026-12-24T18:00:00Z")
        return None

    def _read_limit(self, data: dict[str, Any], place: str) -> dict[str, Any]:
        limit = data.get("limit")
        if limit is None:
            return {}
        if not isinstance(limit, dict):
            self._problems.add(f"{place}.limit", "a limit is a mapping with `count`, `period` and `per`")
            return {}
        self._problems.check_keys(limit, _LIMIT_KEYS, f"{place}.limit")
        count = limit.get("count")
        if not isinstance(count, int) or isinstance(count, bool):
            self._problems.add(f"{place}.limit.count", "this is a whole number")
            count = None
        period, per = (self._read_text(limit, key, f"{place}.limit") for key in ("period", "per"))
        return {"limit_count": count, "limit_period": period, "limit_per": per}

    def _read_enabled(self, data: dict[str, Any], place: str) -> bool:
        value = data.get("enabled", True)
        if not isinstance(value, bool):
            self._problems.add(f"{place}.enabled", "this is true or false")
        return value is True


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = Counter(str(key.value) for key, _ in node.value)
        for key, times in keys.items():
            if times > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _write_rule(rule: Rule, names: Names) -> str:
    written = {
        "layer": rule.layer,
        "effect": rule.effect,
        "user": rule.user.email if rule.user else None,
        "group": rule.group.name if rule.group else None,
        "application": names.write_application(rule.application) if rule.application else None,
        "integration": rule.integration.slug if rule.integration else None,
        "capability": rule.capability or None,
        "class": rule.klass or None,
        "conditions": rule.conditions,
        "reason": rule.reason or None,
        "from": rule.valid_from,
        "until": rule.valid_until,
        "limit": _write_limit(rule),
        "mode": rule.mode if rule.mode != Rule.Mode.ENFORCE else None,
        "enabled": None if rule.is_enabled else False,
    }
    said = {key: value for key, value in written.items() if value is not None}
    sentence = " ".join(describe_rule(rule).split())
    return indent(f"# {sentence}\n{_dump([said])}", "  ")


def _write_limit(rule: Rule) -> dict[str, Any] | None:
    if rule.limit_count is None:
        return None
    return {"count": rule.limit_count, "period": rule.limit_period, "per": rule.limit_per}


def _dump(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _group(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for name, one in pairs:
        grouped.setdefault(name, []).append(one)
    return grouped
