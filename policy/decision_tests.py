"""Decisions that an organization expects of its rules, written in YAML and run in its own CI.

tests:
  - name: PR-Bot stays in its repository
    user: alice@acme.test          # left out: the application acts on its own
    application: PR-Bot
    capability: github:create_issue
    arguments: {repo: acme/backend}
    expect: deny
    layer: application             # may be left out, as may at, address, groups and class
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from connections.models import Capability, Integration
from orgs.models import Organization, User
from policy import engine
from policy.compile import load_policy
from policy.documents import Names, Problems, load_yaml
from policy.errors import DocumentError
from policy.services.simulate import load_groups

_KEYS = {"name", "user", "groups", "application", "capability", "class", "arguments", "at", "address"}
_KEYS |= {"expect", "layer"}
# What the gateway takes a tool for that nobody has looked at.
_UNKNOWN_CLASS = "destructive"


@dataclass(frozen=True, slots=True)
class DecisionTest:
    name: str
    call: engine.Call
    expect: str
    layer: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test went: `problem` is empty where it went as expected."""

    name: str
    problem: str
    sentence: str


def read_decision_tests(organization: Organization, text: str) -> list[DecisionTest]:
    """Return the tests in a document. Raises DocumentError with every problem and its place."""
    data, problems = load_yaml(text), Problems()
    if not isinstance(data, dict):
        raise DocumentError(["the document is a mapping with `tests`"])
    problems.check_keys(data, {"tests"}, "the document")
    names = Names(organization)
    tests = [
        _read_test(organization, names, problems, test, f"tests[{n}]")
        for n, test in enumerate(problems.get_list(data, "tests"))
    ]
    problems.raise_if_any()
    return [test for test in tests if test is not None]


def run_decision_tests(organization: Organization, tests: list[DecisionTest]) -> Iterator[Outcome]:
    """Decide each test's call by the stored rules."""
    policy = load_policy(organization.pk)
    for test in tests:
        explanation = policy.decide(test.call).explain()
        problem = ""
        if explanation["effect"] != test.expect:
            problem = f"expected {test.expect}, but it is {explanation['effect']}"
        elif test.layer not in (None, explanation["deciding"]):
            problem = f"expected the {test.layer} layer to decide, but {explanation['deciding'] or 'none'} did"
        yield Outcome(test.name, problem, explanation["sentence"])


def _read_test(
    organization: Organization, names: Names, problems: Problems, data: Any, place: str
) -> DecisionTest | None:
    if not isinstance(data, dict):
        problems.add(place, "a test is a mapping")
        return None
    problems.check_keys(data, _KEYS, place)
    if data.get("expect") not in list(engine.Effect):
        problems.add(f"{place}.expect", "this is allow, ask or deny")
    if data.get("layer") not in (None, *engine.Layer):
        problems.add(f"{place}.layer", "this is org, user or application")
    if not isinstance(data.get("arguments", {}), dict):
        problems.add(f"{place}.arguments", "this is a mapping")
    user = names.find("user", data["user"], place, problems) if data.get("user") is not None else None
    application = names.find("application", data.get("application"), place, problems)
    slug, _, capability = str(data.get("capability", "")).partition(":")
    integration = names.find("integration", slug, place, problems)
    groups = _read_groups(organization, names, problems, data, user, place)
    at = _read_moment(data, problems, place)
    if not capability:
        problems.add(f"{place}.capability", "this is written as github:create_issue")
    if application is None or integration is None or problems.texts:
        return None
    return DecisionTest(
        name=str(data.get("name") or place),
        call=engine.Call(
            user=str(user.pk) if user else None,
            groups=groups,
            application=str(application.pk),
            integration=str(integration.pk),
            capability=capability,
            klass=str(data.get("class") or _find_class(integration, capability)),
            arguments=data.get("arguments", {}),
            now=at.timestamp(),
            source_address=str(data.get("address", "")),
        ),
        expect=data["expect"],
        layer=data.get("layer"),
    )


def _read_groups(
    organization: Organization, names: Names, problems: Problems, data: dict[str, Any], user: User | None, place: str
) -> frozenset[str]:
    if "groups" not in data:
        return load_groups(organization, user)
    found = [names.find("group", name, place, problems) for name in problems.get_list(data, "groups")]
    return frozenset(str(group.pk) for group in found if group is not None)


def _read_moment(data: dict[str, Any], problems: Problems, place: str) -> dt.datetime:
    at = data.get("at") or timezone.now()
    if not isinstance(at, dt.datetime):
        problems.add(f"{place}.at", "a time is written as 2026-12-24T18:00:00Z")
        return timezone.now()
    return at.replace(tzinfo=at.tzinfo or dt.UTC)


def _find_class(integration: Integration, capability: str) -> str:
    tools = Capability.objects.filter(integration=integration, kind=Capability.Kind.TOOL, name=capability)
    return tools.values_list("klass", flat=True).first() or _UNKNOWN_CLASS
