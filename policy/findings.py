"""What a rule's author should know: that it never matches, changes nothing, or that others stand in its way.

Nothing of this keeps a rule from being saved: it may be written before what it is about, or before what it waits for.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from uuid import UUID

from connections.models import ApplicationIntegration, Capability, Integration
from orgs.models import Application, GroupMembership, Membership, Organization
from policy import engine
from policy.compile import load_described_rules, make_draft
from policy.documents import Document
from policy.engine.analysis import Analysis, Finding
from policy.engine.matching import compile_pattern
from policy.engine.words import join_words
from policy.finding_words import Describe, say_finding
from policy.models import Layer, Rule


@dataclass(frozen=True, slots=True)
class RuleWarning:
    """One finding. `code` is for programs, `sentence` says what it means and what to do."""

    code: str
    sentence: str


def find_warnings(rule: Rule) -> list[RuleWarning]:
    """Examine one rule, stored or not, among its organization's."""
    return Examiner(rule.organization).examine(rule)


class Examiner:
    """Reads an organization once to examine any of its rules.

    Where a `document` is given, its rules and baselines are what there is, besides what people say in their own layer.
    """

    def __init__(self, organization: Organization, *, document: Document | None = None) -> None:
        self._organization = organization
        self._document = document

    def examine(self, rule: Rule) -> list[RuleWarning]:
        """Return what is to be said of a rule, the gravest first; nothing of one that is switched off."""
        if not rule.is_enabled:
            return []
        analysis, describe = self._analysis
        findings = [finding for finding in analysis.examine(make_draft(rule)) if not _is_private(finding, rule)]
        said = [RuleWarning(finding.kind.value, say_finding(rule, finding, describe)) for finding in findings]
        return [*said, *self._look_around(rule)]

    @cached_property
    def _analysis(self) -> tuple[Analysis, Describe]:
        rules, baselines, describe = load_described_rules(self._organization.pk)
        if self._document is not None:
            shared = [make_draft(rule) for rule in self._document.rules if rule.is_enabled]
            sentences = {rule.id: rule.sentence for rule in shared}
            rules = [*shared, *(rule for rule in rules if rule.layer is engine.Layer.USER and rule.user is not None)]
            stored, describe = describe, lambda rule: sentences.get(rule.id) or stored(rule)
            baselines = {
                engine.Layer(layer): engine.Effect(effect) for layer, effect in self._document.baselines.items()
            }
        return Analysis(rules, baselines, now=time.time(), groups=self._groups), describe

    @cached_property
    def _groups(self) -> Mapping[str, frozenset[str]]:
        people: dict[str, set[str]] = {str(user): set() for user in self._active_people}
        for user, group in GroupMembership.objects.for_organization(self._organization).values_list("user", "group"):
            if user in self._active_people:
                people[str(user)].add(str(group))
        return {user: frozenset(groups) for user, groups in people.items()}

    @cached_property
    def _active_people(self) -> set[UUID]:
        members = Membership.objects.active().filter(organization=self._organization)
        return set(members.values_list("user_id", flat=True))

    @cached_property
    def _known(self) -> dict[UUID, list[Capability]]:
        """Return what each integration offers, as far as it is known."""
        known: dict[UUID, list[Capability]] = defaultdict(list)
        rows = Capability.objects.for_organization(self._organization).exclude(status=Capability.Status.REMOVED)
        for row in rows.only("integration_id", "name", "kind", "klass", "klass_confirmed").order_by("name"):
            known[row.integration_id].append(row)
        return known

    @cached_property
    def _links(self) -> set[tuple[UUID, UUID]]:
        rows = ApplicationIntegration.objects.for_organization(self._organization)
        return set(rows.values_list("application_id", "integration_id"))

    def _look_around(self, rule: Rule) -> Iterator[RuleWarning]:
        """Look at what is about the rule: people, applications, integrations and what these offer."""
        yield from self._look_at_people(rule)
        yield from self._look_at_application(rule)
        yield from self._look_at_target(rule)

    def _look_at_people(self, rule: Rule) -> Iterator[RuleWarning]:
        if rule.user is not None and rule.user_id not in self._active_people:
            yield RuleWarning(
                "no_member",
                f"{rule.user} is no active member of {self._organization}, so it matches no call. An administrator can "
                "reactivate them under People.",
            )
        if rule.group is not None and not any(str(rule.group_id) in groups for groups in self._groups.values()):
            yield RuleWarning(
                "empty_group",
                f"Nobody is in the group {rule.group}, so it matches no call until somebody is. Check that it is the "
                "group meant.",
            )

    def _look_at_application(self, rule: Rule) -> Iterator[RuleWarning]:
        application, integration = rule.application, rule.integration
        if application is not None and application.status != Application.Status.ACTIVE:
            state = application.get_status_display().lower()
            yield RuleWarning("application_inactive", f"{application} can make no calls at present: it is {state}.")
        if integration is not None and integration.status != Integration.Status.ACTIVE:
            state = integration.get_status_display().lower()
            yield RuleWarning("integration_inactive", f"{integration} takes no calls at present: it is {state}.")
        if application is None or integration is None or rule.effect == "deny":
            return
        if (application.pk, integration.pk) not in self._links:
            yield RuleWarning(
                "integration_not_allowed",
                f"{application} may not use {integration} at all yet, whatever rules say. An administrator can add "
                f"{integration} on {application}'s page.",
            )

    def _look_at_target(self, rule: Rule) -> Iterator[RuleWarning]:
        place = str(rule.integration or "any integration")
        offered = self._get_offered(rule)
        if not offered:
            if rule.integration is not None and (rule.capability or rule.klass):
                yield RuleWarning(
                    "nothing_known",
                    f"Nothing is known yet of what {place} offers, so this could not be checked. It is discovered when "
                    f"{place} is first connected.",
                )
            return
        matches = compile_pattern(rule.capability or "*")
        named = [one for one in offered if matches(one.name)]
        if not named:
            yield RuleWarning("no_such_capability", _say_no_such_capability(rule, offered))
            return
        of_class = [one for one in named if not rule.klass or one.klass == rule.klass]
        if not of_class:
            yield RuleWarning(
                "no_such_class",
                f"Nothing that it is about in {place} is of the class “{rule.klass}”, so it matches no call. Choose "
                "another class, or have an administrator correct the classes under Capabilities.",
            )
        claimed = [one.name for one in of_class if not one.klass_confirmed]
        if rule.klass and claimed and rule.layer != Layer.USER:
            yield RuleWarning(
                "class_claimed",
                f"That {join_words(claimed, 'and')} {'is' if len(claimed) == 1 else 'are'} of the class “{rule.klass}” "
                f"is only what {place} claims. An administrator can confirm or correct it under Capabilities.",
            )

    def _get_offered(self, rule: Rule) -> list[Capability]:
        if rule.integration_id is not None:
            return self._known.get(rule.integration_id, [])
        return [one for some in self._known.values() for one in some]


def _is_private(finding: Finding, rule: Rule) -> bool:
    """Tell whether a finding would show an administrator what a person has said in their own layer."""
    return finding.by is not None and finding.by.user not in (None, _key(rule.user_id)) and finding.by.layer == "user"


def _key(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)


def _say_no_such_capability(rule: Rule, offered: list[Capability]) -> str:
    who = f"{rule.integration} offers nothing" if rule.integration is not None else "No integration offers anything"
    close = get_close_matches(rule.capability, [one.name for one in offered], n=1)
    advice = f"Did you mean {close[0]}?" if close else "Check the name, or discover anew what is offered."
    return f"{who} called {rule.capability}, so it matches no call. {advice}"
