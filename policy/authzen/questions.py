"""What a request asks. What the specification requires is demanded; what it doesn't know is ignored, as it says.

Whatever has a meaning here is read strictly: an e-mail address as a time, or a number as a name, is an error and never
a guess.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from django.utils import timezone
from rest_framework.exceptions import ValidationError

_LONGEST = 1024
ENTITIES = ("subject", "action", "resource")


@dataclass(frozen=True, slots=True)
class Entity:
    """A subject or a resource; `id` is empty for the one that is searched for."""

    type: str
    id: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The parts of a context that have a meaning here. `agent` is the application (COAZ-MCP's name for it)."""

    agent: str
    at: dt.datetime
    address: str


@dataclass(frozen=True, slots=True)
class Question:
    """May `subject` do `action` on `resource`? Of a search, one of the three is what is sought."""

    subject: Entity
    action: Action
    resource: Entity
    circumstances: Circumstances


@dataclass(slots=True)
class Problems:
    """What is wrong with a request, by field."""

    fields: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, text: str) -> None:
        self.fields.setdefault(path, []).append(text)

    def raise_if_any(self) -> None:
        if self.fields:
            raise ValidationError(self.fields)


def read_question(data: Mapping[str, Any], *, sought: str = "") -> Question:
    """Return what is asked. Raises ValidationError, by field. The identifier of what is `sought` is ignored."""
    problems = Problems()
    for name in ENTITIES:
        if name not in data and not (name == sought == "action"):
            problems.add(name, "This is required.")
    question = Question(
        subject=_read_entity(data, "subject", problems, has_id=sought != "subject"),
        action=Action("", {}) if sought == "action" else _read_action(data, problems),
        resource=_read_entity(data, "resource", problems, has_id=sought != "resource"),
        circumstances=_read_context(data, problems),
    )
    problems.raise_if_any()
    return question


def check_defaults(data: Mapping[str, Any]) -> None:
    """Refuse defaults of a batch that no evaluation could use."""
    problems = Problems()
    _read_entity(data, "subject", problems, has_id=True)
    _read_action(data, problems)
    _read_entity(data, "resource", problems, has_id=True)
    _read_context(data, problems)
    problems.raise_if_any()


def _read_entity(data: Mapping[str, Any], name: str, problems: Problems, *, has_id: bool) -> Entity:
    given = _read_object(data, name, problems)
    return Entity(
        type=_read_text(given, name, "type", problems) if given is not None else "",
        id=_read_text(given, name, "id", problems) if given is not None and has_id else "",
        properties=_read_properties(given, name, problems),
    )


def _read_action(data: Mapping[str, Any], problems: Problems) -> Action:
    given = _read_object(data, "action", problems)
    name = _read_text(given, "action", "name", problems) if given is not None else ""
    return Action(name, _read_properties(given, "action", problems))


def _read_context(data: Mapping[str, Any], problems: Problems) -> Circumstances:
    given = _read_object(data, "context", problems) or {}
    agent = _read_text(given, "context", "agent", problems) if given.get("agent") is not None else ""
    return Circumstances(agent, _read_time(given, problems), _read_address(given, problems))


def _read_object(data: Mapping[str, Any], name: str, problems: Problems) -> Mapping[str, Any] | None:
    """Return an object, None where there is none; that it is required is said elsewhere."""
    found = data.get(name)
    if name not in data or isinstance(found, dict):
        return found
    problems.add(name, "This is an object.")
    return None


def _read_text(data: Mapping[str, Any], where: str, name: str, problems: Problems) -> str:
    found = data.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= _LONGEST:
        text = f"This is a text of 1 to {_LONGEST} characters."
        problems.add(f"{where}.{name}", text if name in data else "This is required.")
        return ""
    return found


def _read_properties(data: Mapping[str, Any] | None, where: str, problems: Problems) -> Mapping[str, Any]:
    found = (data or {}).get("properties", {})
    if isinstance(found, dict):
        return found
    problems.add(f"{where}.properties", "This is an object.")
    return {}


def _read_time(context: Mapping[str, Any], problems: Problems) -> dt.datetime:
    """Return the moment that is asked about; rules with a time of day look at it."""
    given = context.get("time")
    try:
        at = timezone.now() if given is None else dt.datetime.fromisoformat(given)
    except (TypeError, ValueError):
        at = timezone.now().replace(tzinfo=None)
    if at.tzinfo is None:
        problems.add("context.time", "This is a time with its offset, such as 2026-11-25T10:30:00+01:00.")
    return at


def _read_address(context: Mapping[str, Any], problems: Problems) -> str:
    """Return where the call comes from. The enforcement point's own address would be no answer to that."""
    given = context.get("ip")
    if given is None:
        return ""
    try:
        return str(ip_address(given)) if isinstance(given, str) else _refuse_address(problems)
    except ValueError:
        return _refuse_address(problems)


def _refuse_address(problems: Problems) -> str:
    problems.add("context.ip", "This is an IPv4 or IPv6 address, such as 192.0.2.1.")
    return ""
