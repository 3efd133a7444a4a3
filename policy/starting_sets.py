"""Starting sets: a few rules about classes with which a person begins to let an application act for them.

What no rule allows is refused, so somebody who has said nothing is stuck without a word from anybody. A set is as few
rules of the person's own layer as will do, each of which holds always; from then on they are rules like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from connections.models import Capability, Integration
from orgs.models import Application, GroupMembership, Organization, User
from policy.describe import describe_rule
from policy.models import Baseline, Effect, Layer, Rule

_READ, _WRITE, _DESTRUCTIVE = Capability.Klass.READ, Capability.Klass.WRITE, Capability.Klass.DESTRUCTIVE


@dataclass(frozen=True, slots=True)
class StartingSet:
    """`rules` are effects by class, where an empty class stands for all; `words` say what it comes to."""

    key: str
    name: str
    words: str
    rules: tuple[tuple[str, str], ...]


STARTING_SETS = {
    one.key: one
    for one in (
        StartingSet("read_only", "Read only", "It may look, and change nothing.", ((Effect.ALLOW, _READ),)),
        StartingSet(
            "ask_before_writing",
            "Ask before writing",
            "It may look; before it changes or destroys anything, you are asked.",
            ((Effect.ALLOW, _READ), (Effect.ASK, _WRITE), (Effect.ASK, _DESTRUCTIVE)),
        ),
        StartingSet(
            "everything",
            "Everything of this application",
            "It may do all that its owner and your organization let it do.",
            ((Effect.ALLOW, ""),),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What choosing a set would change: rules that are not stored yet, and stored ones that go."""

    added: list[Rule]
    removed: list[Rule]

    @property
    def added_sentences(self) -> list[str]:
        return [describe_rule(rule) for rule in self.added]

    @property
    def removed_sentences(self) -> list[str]:
        return [describe_rule(rule) for rule in self.removed]


def plan_starting_set(
    *,
    organization: Organization,
    user: User,
    application: Application,
    integrations: Sequence[Integration] | None,
    key: str | None,
) -> Plan:
    """Return what it takes for the person's rules about classes to be those of a set, or of none.

    `integrations` None means every one there is and will be, and then rules about single ones give way, too. Denies,
    and rules about single capabilities or with conditions, are never touched.
    """
    stored = list(find_class_rules(organization=organization, user=user, application=application, among=integrations))
    wanted = [
        Rule(
            organization=organization,
            layer=Layer.USER,
            effect=effect,
            user=user,
            application=application,
            integration=integration,
            klass=klass,
            created_by=user,
        )
        for integration in (integrations if integrations is not None else [None])
        for effect, klass in (STARTING_SETS[key].rules if key is not None else ())
    ]
    kept = {_identify(rule) for rule in stored} & {_identify(rule) for rule in wanted}
    # Of rules that say the same one is enough: the others go.
    doubles = [rule for n, rule in enumerate(stored) if _identify(rule) in map(_identify, stored[:n])]
    return Plan(
        added=[rule for rule in wanted if _identify(rule) not in kept],
        removed=[rule for rule in stored if _identify(rule) not in kept or rule in doubles],
    )


def find_current_set(rules: Sequence[Rule]) -> str | None:
    """Return the set for every integration that a person's rules about classes are, exactly."""
    said = set(map(_identify, rules))
    return next((one.key for one in STARTING_SETS.values() if said == {(*rule, None) for rule in one.rules}), None)


def find_class_rules(
    *, organization: Organization, user: User, application: Application, among: Sequence[Integration] | None
) -> QuerySet[Rule]:
    """Return the person's allows and asks about whole classes of this application that nothing else narrows."""
    rules = Rule.objects.for_organization(organization).personal(user).with_names().enabled()
    rules = rules.exclude(effect=Effect.DENY).filter(
        application=application,
        capability="",
        conditions__isnull=True,
        valid_from__isnull=True,
        valid_until__isnull=True,
        mode=Rule.Mode.ENFORCE,
    )
    return (rules if among is None else rules.filter(integration__in=among)).order_by("created_at", "pk")


def find_unanswered(
    *, organization: Organization, user: User, applications: Iterable[Application]
) -> list[Application]:
    """Return those of the applications to which nothing in the person's layer says yes or ask: they can do nothing."""
    baseline = Baseline.objects.for_organization(organization).filter(layer=Layer.USER).exclude(effect=Effect.DENY)
    if baseline.exists():
        return []
    groups = GroupMembership.objects.for_organization(organization).filter(user=user).values("group")
    rules = Rule.objects.for_organization(organization).enabled().filter(layer=Layer.USER, mode=Rule.Mode.ENFORCE)
    speaking = rules.filter(Q(user=user) | Q(group__in=groups)).exclude(effect=Effect.DENY)
    answered = set(speaking.values_list("application_id", flat=True))
    return [one for one in applications if None not in answered and one.pk not in answered]


def _identify(rule: Rule) -> tuple[str, str, UUID | None]:
    return (str(rule.effect), str(rule.klass), rule.integration_id)
