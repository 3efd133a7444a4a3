"""The people and things that every story in the tests is about."""

from __future__ import annotations

from dataclasses import dataclass

from connections.models import Capability, Integration
from orgs.models import Application, Delegation, Group, Membership, Organization, User
from tests.factories.rows import (
    allow_integration,
    make_application,
    make_capability,
    make_delegation,
    make_group,
    make_integration,
    make_member,
    make_organization,
)


@dataclass(frozen=True)
class Cast:
    """Acme with Alice (Engineering), Bob (Sales), Carol (administrator) and PR-Bot.

    Globex with Mallory, who must get nothing.
    """

    acme: Organization
    engineering: Group
    sales: Group
    alice: User
    bob: User
    carol: User
    pr_bot: Application
    delegation: Delegation
    github: Integration
    create_issue: Capability
    delete_repo: Capability
    globex: Organization
    mallory: User
    spy_bot: Application
    globex_github: Integration


def make_cast() -> Cast:
    """Make the cast. No rules and no connections: what is allowed is each test's own matter."""
    acme = make_organization("Acme Corp", slug="acme")
    engineering, sales = make_group(acme), make_group(acme, "Sales")
    alice = make_member(acme, "Alice Adams", groups=(engineering,))
    bob = make_member(acme, "Bob Brown", groups=(sales,))
    carol = make_member(acme, "Carol Clark", role=Membership.Role.ADMIN)
    pr_bot = make_application(acme, "PR-Bot", owner=carol)
    github = make_integration(acme)
    allow_integration(pr_bot, github)
    globex = make_organization("Globex", slug="globex")
    mallory = make_member(globex, "Mallory Moon", role=Membership.Role.ADMIN)
    globex_github = make_integration(globex)
    spy_bot = make_application(globex, "Spy-Bot", owner=mallory)
    allow_integration(spy_bot, globex_github)
    return Cast(
        acme=acme,
        engineering=engineering,
        sales=sales,
        alice=alice,
        bob=bob,
        carol=carol,
        pr_bot=pr_bot,
        delegation=make_delegation(pr_bot, alice),
        github=github,
        create_issue=make_capability(github, "create_issue", klass=Capability.Klass.WRITE),
        delete_repo=make_capability(github, "delete_repo", klass=Capability.Klass.DESTRUCTIVE),
        globex=globex,
        mallory=mallory,
        spy_bot=spy_bot,
        globex_github=globex_github,
    )
