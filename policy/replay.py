"""Past calls, from the audit trail, decided by other rules than those that were in force.

The trail keeps no arguments by default. What rules have in common with the former ones is taken from the explanation
that each event holds; where an unknown argument decides, the answer is that it can't be told.

A million calls are read as they stream, and counted by what rules can tell apart: who, what, how it was decided, and
when and from where as far as some rule looks at that. Each such shape is then decided once.
"""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from audit.keys import make_key, shift
from audit.models import AuditEvent
from audit.querysets import LONGEST_CALL
from audit.types import EventType
from connections.models import Capability
from orgs.models import GroupMembership, Organization
from policy import engine
from policy.authzen.world import UNKNOWN_CLASS
from policy.engine.conditions import NetworkTest, TimeTest, iterate_tests
from policy.engine.partial import read_known, tell_effects

Progress = Callable[[int, int], None]

_BATCH = 20_000
# Shapes that are held at once; more are decided, and forgotten, on the way.
_MOST_SHAPES = 200_000
_KINDS = {"resources/read": Capability.Kind.RESOURCE, "prompts/get": Capability.Kind.PROMPT}
# Identifiers are read as texts, and explanations by their hash, so that one of each is fetched and parsed: a million of
# them would take a minute by themselves.
_COLUMNS = (
    "user_id::text, application_id::text, integration_id::text, capability, coalesce(details->>'method', ''), "
    "jsonb_hash_extended(decision, 0), extract(epoch from occurred_at)::float8, coalesce(host(source_address), ''), "
    "user_name, application_name, integration, id::text"
)
_CALLS = (
    "organization_id = %s AND type = ANY(%s) AND phase <> 'completed' AND id >= %s AND occurred_at >= %s AND call >= %s"
)


class Shape(NamedTuple):
    """What rules can tell apart about calls. `moment` and `address` are empty where no rule looks at them.

    `explanation` is the hash of what the event holds.
    """

    user: str | None
    application: str
    integration: str
    capability: str
    kind: str
    explanation: int
    epoch: int
    moment: float
    address: str


@dataclass(slots=True)
class Seen:
    """Calls of one shape: how many, when the first and the last was, and its event."""

    count: int
    first_at: float
    last_at: float
    event: str
    names: tuple[str, str, str]


@dataclass(frozen=True, slots=True, order=True)
class Flip:
    """Calls of one person by one application that would be decided otherwise, or perhaps: then `becomes` is empty."""

    user_name: str
    application_name: str
    target: str
    was: str
    becomes: str
    user_id: str
    application_id: str


@dataclass(slots=True)
class Tally:
    """How many calls, when the last one was, and its event."""

    count: int = 0
    last_at: float = 0.0
    event: str = ""

    def add(self, seen: Seen) -> None:
        self.count += seen.count
        if seen.last_at >= self.last_at:
            self.last_at, self.event = seen.last_at, seen.event


@dataclass(slots=True)
class Replay:
    """What became of past calls. `undecided` were refused before any rule was asked, so there is nothing to compare."""

    total: int = 0
    same: int = 0
    undecided: int = 0
    flips: dict[Flip, Tally] = field(default_factory=dict)
    untold: dict[Flip, Tally] = field(default_factory=dict)

    @property
    def flipped(self) -> int:
        return sum(tally.count for tally in self.flips.values())

    @property
    def open(self) -> int:
        return sum(tally.count for tally in self.untold.values())

    @property
    def sorted_flips(self) -> list[tuple[Flip, Tally]]:
        return sorted(self.flips.items())

    @property
    def sorted_untold(self) -> list[tuple[Flip, Tally]]:
        return sorted(self.untold.items())


@dataclass(frozen=True)
class Draft:
    """Rules to try. `changed_at` says of each when it last changed, in seconds since the epoch."""

    policy: engine.Policy
    rules: tuple[engine.Rule, ...]
    changed_at: Mapping[str, float]

    @cached_property
    def breaks(self) -> list[float]:
        """The moments at which some rule changed, begins or ends: between two of them all calls are alike."""
        validities = (moment for rule in self.rules for moment in (rule.valid_from, rule.valid_until))
        return sorted({*self.changed_at.values(), *(moment for moment in validities if moment is not None)})

    @cached_property
    def reads_time(self) -> bool:
        return self._has(TimeTest)

    @cached_property
    def reads_address(self) -> bool:
        return self._has(NetworkTest)

    def _has(self, kind: type) -> bool:
        conditions = (self._read(rule) for rule in self.rules)
        return any(isinstance(test, kind) for one in conditions if one is not None for test in iterate_tests(one))

    @staticmethod
    def _read(rule: engine.Rule) -> Any:
        try:
            return None if rule.conditions is None else engine.parse_conditions(rule.conditions)
        except engine.ConditionError:
            return None  # such a rule looks at nothing


def replay_calls(
    organization: Organization,
    draft: Draft,
    *,
    since: dt.datetime,
    at_most: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Replay:
    """Decide all calls since a moment, or the latest of them, by the rules of a draft.

    `progress` is called with how many of how many are read.
    Groups and classes are today's: what they were isn't kept. Reads the trail in one transaction, and locks nothing.
    """
    judge = _Judge(organization, draft)
    found = Replay()
    reader = _Reader(organization, draft, found)
    for count, total in reader.read(since, at_most):
        progress(count, total)
        if len(reader.shapes) > _MOST_SHAPES:
            judge.decide(reader, found)
            reader.forget()
    judge.decide(reader, found)
    return found


class _Reader:
    """Streams the trail and counts its calls by shape. `explanations` are by hash, with what matters of them."""

    def __init__(self, organization: Organization, draft: Draft, found: Replay) -> None:
        self._organization, self._draft, self._found = organization, draft, found
        self._table = connection.ops.quote_name(AuditEvent._meta.db_table)
        self.shapes: dict[Shape, Seen] = {}
        self.explanations: dict[int, dict[str, Any]] = {}

    def forget(self) -> None:
        self.shapes.clear()
        self.explanations.clear()

    def read(self, since: dt.datetime, at_most: int | None) -> Iterator[tuple[int, int]]:
        """Yield after each batch how many of how many calls were read."""
        # Keys begin with the time, and are indexed: everything before them isn't touched. Calls name the months.
        first, first_call = make_key(since), make_key(shift(since, -LONGEST_CALL))
        types = [EventType.CAPABILITY_INVOKED, EventType.CREDENTIAL_ISSUED]
        parameters: list[Any] = [self._organization.pk, types, first, since, first_call]
        with transaction.atomic():
            total = self._count(parameters)
            latest = f"ORDER BY id DESC LIMIT {at_most:d}" if at_most is not None and at_most < total else ""
            total = min(total, at_most or total)
            yield 0, total
            with connection.chunked_cursor() as rows:
                rows.execute(f"SELECT {_COLUMNS} FROM {self._table} WHERE {_CALLS} {latest}", parameters)  # noqa: S608
                while batch := rows.fetchmany(_BATCH):
                    self._fetch_explanations(batch)
                    self._add(batch)
                    yield self._found.total, max(self._found.total, total)

    def _count(self, parameters: list[Any]) -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {self._table} WHERE {_CALLS}", parameters)  # noqa: S608
            count: int = cursor.fetchone()[0]
        return count

    def _fetch_explanations(self, batch: list[Any]) -> None:
        missing = {row[5]: row[-1] for row in batch if row[5] is not None and row[5] not in self.explanations}
        if missing:
            by_event: dict[UUID, Any] = dict(
                AuditEvent.objects.filter(pk__in=missing.values()).values_list("pk", "decision")
            )
            self.explanations |= {key: _trim(by_event[UUID(event)]) for key, event in missing.items()}

    def _add(self, batch: list[Any]) -> None:
        breaks, reads_time, reads_address = self._draft.breaks, self._draft.reads_time, self._draft.reads_address
        shapes, found = self.shapes, self._found
        found.total += len(batch)
        for row in batch:
            user, application, integration, capability, method, explanation, at, address, *names, event = row
            if explanation is None or application is None or integration is None:
                found.undecided += 1
                continue
            shape = Shape(
                user,
                application,
                integration,
                capability,
                method,
                explanation,
                bisect_right(breaks, at),
                at // 60 if reads_time else 0.0,
                address if reads_address else "",
            )
            seen = shapes.get(shape)
            if seen is None:
                shapes[shape] = Seen(1, at, at, event, tuple(names))
                continue
            seen.count += 1
            seen.first_at = min(seen.first_at, at)
            if at >= seen.last_at:
                seen.last_at, seen.event = at, event


def _trim(explanation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is needed of an explanation: most of it are sentences."""
    layers = [
        {**{name: layer[name] for name in ("layer", "verdict", "baseline")}, "rules": _list_ids(layer)}
        for layer in explanation["layers"]
    ]
    return {"effect": explanation["effect"], "layers": layers}


def _list_ids(layer: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"id": rule["id"]} for rule in layer["rules"]]


class _Judge:
    """Decides shapes by a draft, and sorts them into what stays, what flips and what can't be told."""

    def __init__(self, organization: Organization, draft: Draft) -> None:
        self._draft = draft
        self._joined = _load_groups(organization)
        self._classes = _load_classes(organization)

    def decide(self, reader: _Reader, found: Replay) -> None:
        for shape, seen in reader.shapes.items():
            explanation = reader.explanations[shape.explanation]
            call = self._make_call(shape, seen)
            known = self._read_known(call, explanation)
            effects = tell_effects(self._draft.policy, call, known)
            was = explanation["effect"]
            if effects == {was}:
                found.same += seen.count
                continue
            becomes = str(next(iter(effects))) if len(effects) == 1 else ""
            flip = _make_flip(shape, seen, was, becomes)
            tallies = found.flips if becomes else found.untold
            tallies.setdefault(flip, Tally()).add(seen)

    def _read_known(self, call: engine.Call, explanation: Mapping[str, Any]) -> dict[str, bool]:
        changed_at, joined = self._draft.changed_at, self._joined.get(call.user or "", {})

        def is_same(rule: engine.Rule) -> bool:
            return changed_at[rule.id] <= call.now

        def was_about(rule: engine.Rule) -> bool:
            # When a capability's class changed isn't known; of a group, when the person came into it.
            return not rule.klass and (rule.group is None or joined.get(rule.group, math.inf) <= call.now)

        return read_known(self._draft.policy, call, explanation, is_same=is_same, was_about=was_about)

    def _make_call(self, shape: Shape, seen: Seen) -> engine.Call:
        kind = _KINDS.get(shape.kind, Capability.Kind.TOOL)
        unknown = UNKNOWN_CLASS if kind is Capability.Kind.TOOL else "read"
        return engine.Call(
            user=shape.user,
            groups=frozenset(self._joined.get(shape.user or "", ())),
            application=shape.application,
            integration=shape.integration,
            capability=shape.capability,
            klass=self._classes.get((shape.integration, kind, shape.capability), unknown),
            arguments={},
            now=seen.first_at,
            source_address=shape.address,
        )


def _make_flip(shape: Shape, seen: Seen, was: str, becomes: str) -> Flip:
    user_name, application_name, slug = seen.names
    return Flip(
        user_name=user_name,
        application_name=application_name,
        target=f"{slug}:{shape.capability}",
        was=was,
        becomes=becomes,
        user_id=shape.user or "",
        application_id=shape.application,
    )


def _load_groups(organization: Organization) -> dict[str, dict[str, float]]:
    """Return by person the groups they are in, with when they came into each."""
    groups: dict[str, dict[str, float]] = {}
    rows = GroupMembership.objects.filter(organization=organization)
    for user, group, at in rows.values_list("user_id", "group_id", "created_at"):
        groups.setdefault(str(user), {})[str(group)] = at.timestamp()
    return groups


def _load_classes(organization: Organization) -> dict[tuple[str, str, str], str]:
    rows = Capability.objects.for_organization(organization).values_list("integration_id", "kind", "name", "klass")
    return {(str(integration), kind, name): klass for integration, kind, name, klass in rows}
