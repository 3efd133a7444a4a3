"""What rules do to each other: which never match, say nothing new, or are always outweighed.

Nothing is claimed that isn't so for every call from `now` on: a rule of which a finding says that it changes nothing
can be taken away, and each such call is decided as before. The reverse is not claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import islice

from policy.engine.conditions import Condition, ConditionError, parse_conditions, requires_autonomy
from policy.engine.possibility import Demand, Result, can_meet, covers_pattern, is_possible
from policy.engine.types import Effect, Layer, Rule

_STRENGTH = {Effect.ALLOW: 0, Effect.ASK: 1, Effect.DENY: 2}
# More of a kind tell nobody more.
_MOST_OUTWEIGHED = 5


class Kind(StrEnum):
    """What a finding says of a rule. `by` names the other rule where there is one."""

    UNREADABLE = "unreadable"  # its conditions can't be read: an allow never matches, a deny or ask always does
    EXPIRED = "expired"
    NEVER_MATCHES = "never_matches"  # no call could meet its conditions
    ONLY_WITH_USER = "only_with_user"  # it is for calls without a user, and where it stands it only sees calls with one
    ONLY_WHAT_ERRS = "only_what_errs"  # a deny or ask that only matches calls with arguments missing or mistyped
    DUPLICATE = "duplicate"
    COVERED = "covered"  # another rule of its layer and effect says more
    OUTWEIGHED = "outweighed"  # a stronger rule of its layer matches whenever it does
    BLOCKED = "blocked"  # another layer denies whatever it is about
    UNANSWERED = "unanswered"  # another layer (`layer`) never agrees to what it is about
    OUTWEIGHS = "outweighs"  # another rule changes nothing because of this one


# With one of these kinds, taking the rule away changes no decision.
IDLE = frozenset(
    {
        *(Kind.EXPIRED, Kind.NEVER_MATCHES, Kind.ONLY_WITH_USER, Kind.DUPLICATE, Kind.COVERED),
        *(Kind.OUTWEIGHED, Kind.BLOCKED, Kind.UNANSWERED),
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    by: Rule | None = None
    layer: Layer | None = None


@dataclass(eq=False)
class _Side:
    """A rule as the analysis looks at it."""

    rule: Rule

    @cached_property
    def condition(self) -> Condition | None:
        return None if self.is_unreadable or self.rule.conditions is None else parse_conditions(self.rule.conditions)

    @cached_property
    def is_unreadable(self) -> bool:
        try:
            if self.rule.conditions is not None:
                parse_conditions(self.rule.conditions)
        except ConditionError:
            return True
        return False

    @cached_property
    def is_specific(self) -> bool:
        """Tell whether it names an application, or says that it is for calls without a user."""
        return self.rule.application is not None or requires_autonomy(self.condition)

    @cached_property
    def with_user(self) -> tuple[bool, ...]:
        """Return which calls it counts for: with a user, without one, or both."""
        rule = self.rule
        if rule.layer is Layer.USER or rule.user is not None or rule.group is not None:
            return (True,)
        if rule.layer is Layer.ORG and rule.effect is Effect.ALLOW and not self.is_specific:
            return (True,)
        return (True, False)

    @property
    def matching(self) -> Demand:
        if self.rule.effect is Effect.ALLOW:
            return Demand(self.condition, Result.FAILS if self.is_unreadable else Result.HOLDS)
        return Demand(self.condition, Result.DOES_NOT_FAIL)

    @property
    def not_matching(self) -> Demand:
        return Demand(self.condition, Result.DOES_NOT_HOLD if self.rule.effect is Effect.ALLOW else Result.FAILS)


class Analysis:
    """The enabled rules of an organization, to examine one rule among them, stored already or not.

    `groups` says in which groups people are; of anybody else, nothing is assumed. Rules that are only recorded do
    nothing to others, and are themselves looked at as if they were enforced.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        baselines: Mapping[Layer, Effect],
        *,
        now: float,
        groups: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        enforced = sorted((rule for rule in rules if not rule.is_shadow), key=lambda rule: rule.id)
        self._sides = [_Side(rule) for rule in enforced]
        self._baselines = dict(baselines)
        self._now = now
        self._groups = dict(groups or {})

    def examine(self, rule: Rule) -> list[Finding]:
        """Return what is to be said of a rule, the worst first; the stored rule with its identifier is left out."""
        side = _Side(rule)
        others = [one for one in self._sides if one.rule.id != rule.id]
        if found := self._find_reason_never_to_match(side):
            return [found]
        if found := self._find_superior(side, others):
            return [found]
        findings = [*self._find_unanswered(side, others), *self._find_outweighed(side, others)]
        if rule.effect is not Effect.ALLOW and not side.is_unreadable:
            only_errs = not is_possible([Demand(side.condition, Result.HOLDS)], with_user=side.with_user)
            findings = [Finding(Kind.ONLY_WHAT_ERRS), *findings] if only_errs else findings
        return findings

    def _find_reason_never_to_match(self, side: _Side) -> Finding | None:
        if side.is_unreadable:
            return Finding(Kind.UNREADABLE)
        if side.rule.valid_until is not None and side.rule.valid_until <= self._now:
            return Finding(Kind.EXPIRED)
        if is_possible([side.matching], with_user=side.with_user):
            return None
        return Finding(Kind.ONLY_WITH_USER if is_possible([side.matching]) else Kind.NEVER_MATCHES)

    def _find_superior(self, side: _Side, others: list[_Side]) -> Finding | None:
        """Return the first reason for which the rule changes nothing, looking at its own layer first."""
        covering = [one for one in others if self._covers(one, side)]
        same_layer = [one for one in covering if one.rule.layer is side.rule.layer]
        stronger = [one for one in same_layer if _STRENGTH[one.rule.effect] > _STRENGTH[side.rule.effect]]
        # One with a limit may be used up when this one is needed.
        alike = [one for one in same_layer if one.rule.effect is side.rule.effect and one.rule.limit is None]
        for one in (*stronger, *alike):
            if _counts_as_much(one, side):
                return Finding(self._name_superior(one, side), by=one.rule)
        if side.rule.effect is Effect.DENY:
            return None
        blocking = [one for one in covering if one.rule.effect is Effect.DENY and one not in same_layer]
        return Finding(Kind.BLOCKED, by=blocking[0].rule, layer=blocking[0].rule.layer) if blocking else None

    def _name_superior(self, superior: _Side, side: _Side) -> Kind:
        if superior.rule.effect is not side.rule.effect:
            return Kind.OUTWEIGHED
        is_twin = side.rule.limit is None and self._covers(side, superior)
        return Kind.DUPLICATE if is_twin else Kind.COVERED

    def _find_unanswered(self, side: _Side, others: list[_Side]) -> Iterator[Finding]:
        """Yield the layers that agree to nothing that the rule is about."""
        if side.rule.effect is Effect.DENY:
            return
        for layer in Layer:
            is_absent = layer is Layer.USER and False in side.with_user
            if layer is side.rule.layer or is_absent or self._baselines.get(layer, Effect.DENY) is not Effect.DENY:
                continue
            agreeing = (one for one in others if one.rule.layer is layer and one.rule.effect is not Effect.DENY)
            if not any(self._can_meet(one, side) for one in agreeing):
                yield Finding(Kind.UNANSWERED, layer=layer)

    def _find_outweighed(self, side: _Side, others: list[_Side]) -> list[Finding]:
        """Return the rules of its layer that change nothing because of this one."""
        same_layer = (one for one in others if one.rule.layer is side.rule.layer)
        weaker = (one for one in same_layer if _is_weaker(one.rule, side.rule))
        outweighed = (one for one in weaker if self._covers(side, one) and _counts_as_much(side, one))
        return [Finding(Kind.OUTWEIGHS, by=one.rule) for one in islice(outweighed, _MOST_OUTWEIGHED)]

    def _covers(self, wide: _Side, narrow: _Side) -> bool:
        """Tell whether the one matches every call, from now on, that the other matches."""
        one, other = wide.rule, narrow.rule
        return (
            one.application in (None, other.application)
            and one.integration in (None, other.integration)
            and one.klass in ("", other.klass)
            and self._covers_person(one, other)
            and covers_pattern(one.capability or "*", other.capability or "*")
            and self._covers_time(one, other)
            and not is_possible([narrow.matching, wide.not_matching], with_user=narrow.with_user)
        )

    def _covers_person(self, one: Rule, other: Rule) -> bool:
        if one.user is not None:
            return one.user == other.user
        if one.group is None or one.group == other.group:
            return True
        return other.user is not None and one.group in self._groups.get(other.user, frozenset())

    def _covers_time(self, one: Rule, other: Rule) -> bool:
        begins = max(self._now, other.valid_from if other.valid_from is not None else self._now)
        if one.valid_from is not None and one.valid_from > begins:
            return False
        return one.valid_until is None or (other.valid_until is not None and other.valid_until <= one.valid_until)

    def _can_meet(self, side: _Side, another: _Side) -> bool:
        """Tell whether some call may be matched by both."""
        one, other = side.rule, another.rule
        return (
            self._can_be_one_person(one, other)
            and _fit(one.application, other.application)
            and _fit(one.integration, other.integration)
            and _fit(one.klass or None, other.klass or None)
            and can_meet(one.capability or "*", other.capability or "*")
            and self._have_common_time(one, other)
            and is_possible([side.matching, another.matching], with_user=another.with_user)
        )

    def _can_be_one_person(self, one: Rule, other: Rule) -> bool:
        if not _fit(one.user, other.user):
            return False
        for person, group in ((one.user, other.group), (other.user, one.group)):
            if person is not None and group is not None and group not in self._groups.get(person, {group}):
                return False
        return True

    def _have_common_time(self, one: Rule, other: Rule) -> bool:
        begins = max(self._now, *(rule.valid_from or self._now for rule in (one, other)))
        return all(rule.valid_until is None or begins < rule.valid_until for rule in (one, other))


def _is_weaker(one: Rule, other: Rule) -> bool:
    """Tell whether a rule counts less than another: by its effect, or because only it may be used up."""
    if one.effect is other.effect:
        return one.limit is not None and other.limit is None
    return _STRENGTH[one.effect] < _STRENGTH[other.effect]


def _fit(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _counts_as_much(superior: _Side, side: _Side) -> bool:
    """Tell whether the one does at least as much as the other also for calls without a user.

    There, what doesn't name the application neither allows nor asks by itself, and denies all the same.
    """
    if superior.rule.effect is Effect.DENY or False not in side.with_user or side.rule.layer is not Layer.ORG:
        return True
    return superior.is_specific or not side.is_specific
