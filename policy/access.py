"""Who may write which rules, and so who answers what a layer asks or is asked for."""

from __future__ import annotations

from django.db.models import Q

from orgs.models import Membership, User
from policy.errors import NotAllowedToAuthorError
from policy.models import Rule

_AUTHORS = (Membership.Role.OWNER, Membership.Role.ADMIN, Membership.Role.POLICY_AUTHOR)


def may_author(user: User, rule: Rule) -> bool:
    """Tell whether a person may write this rule.

    Their own layer is a person's alone. What groups hand down, the organization's layer and applications are the
    administrators' and policy authors'; an application also its owner's.
    """
    if rule.layer == "user" and rule.user_id is not None:
        return rule.user_id == user.pk
    if user.is_superuser:
        return True
    is_owner = rule.layer == "application" and rule.application is not None and rule.application.owner_id == user.pk
    membership = Membership.objects.active().filter(organization=rule.organization_id, user=user).first()
    return membership is not None and (is_owner or membership.role in _AUTHORS)


def check_may_author(user: User, rule: Rule) -> None:
    if not may_author(user, rule):
        raise NotAllowedToAuthorError("you may not write this rule: ask an administrator, or whoever it is about")


def answers_for(user: User, role: str) -> Q:
    """Return which approvals and requests a member may answer: what a rule of theirs could have said, too.

    It is `may_author` as a query, about rows with `layer` and `application`; whose user layer it is, is not in it.
    """
    if is_policy_author(user, role):
        return Q(layer__in=("org", "application"))
    return Q(layer="application", application__owner=user)


def is_policy_author(user: User, role: str) -> bool:
    """Tell whether a member writes what is said for others, too."""
    return role in _AUTHORS or user.is_superuser
