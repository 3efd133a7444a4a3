"""The demo's two organizations: people sign in themselves, an administrator does the rest through the services.

Everything is looked up before it is made, so seeding a seeded installation changes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings

from connections.models import Connection, Integration
from connections.services.add_integration import add_integration
from connections.services.allow_application import allow_integration
from connections.services.discover_capabilities import discover_capabilities
from connections.services.discover_integration import discover_integration
from connections.services.update_integration import update_integration
from kontext.demo.human import Human
from kontext.demo.people import ACME, ALICE, BOB, GLOBEX, Cast, Person
from kontext.demo.processes import Peers
from orgs.http import make_actor
from orgs.models import Application, Group, Identity, IdentityProvider, Membership, Organization, User
from orgs.services.create_organization import create_organization
from orgs.services.register_application import register_application
from orgs.services.set_identity_provider import set_identity_provider
from orgs.services.suspend_person import set_role
from policy.models import Effect, Layer, Rule
from policy.services.create_rule import create_rule

Tell = Callable[[str], None]

PR_BOT, SPY_BOT = "PR-Bot", "Spy-Bot"
REPOSITORY = "acme/frontend"
# Of a native application, which listens on whatever port is free (RFC 8252 §7.3).
REDIRECT_URI = "http://127.0.0.1/callback"


class SeedError(Exception):
    """The demo can't be prepared; the text says why and what to do."""


@dataclass(frozen=True)
class Household:
    """One organization of the demo as it stands in the database. People are keyed by their subject."""

    cast: Cast
    organization: Organization
    provider: IdentityProvider
    people: dict[str, User]
    github: Integration
    application: Application

    @property
    def administrator(self) -> User:
        return self.people[self.cast.people[0].subject]


@dataclass(frozen=True)
class World:
    acme: Household
    globex: Household
    rules: dict[str, Rule]
    peers: Peers

    def describe(self) -> dict[str, Any]:
        """Return what another process has to know to play along."""
        return {
            "public_url": settings.PUBLIC_URL,
            "gateway_url": settings.GATEWAY_URL,
            "github_url": self.peers.github,
            "acme": _describe(self.acme),
            "globex": _describe(self.globex),
            "rules": {name: str(rule.pk) for name, rule in self.rules.items()},
        }


def seed(peers: Peers, *, tell: Tell) -> World:
    """Make what is missing. Raises SeedError, and BrowserError for a page that is not as expected."""
    acme = _seed_household(ACME, peers, PR_BOT, "Opens issues for what it finds in pull requests.", tell)
    globex = _seed_household(GLOBEX, peers, SPY_BOT, "Would like to read everybody's repositories.", tell)
    _discover_with(acme, BOB, tell)
    _discover_with(globex, GLOBEX.people[0], tell)
    return World(acme, globex, _seed_rules(acme, tell), peers)


def _seed_household(cast: Cast, peers: Peers, application: str, description: str, tell: Tell) -> Household:
    organization = Organization.objects.filter(slug=cast.slug).first()
    if organization is None:
        tell(f"create {cast.name}")
        organization = create_organization(name=cast.name, slug=cast.slug)
    provider = _seed_provider(organization, cast, peers)
    people = {person.subject: _seed_person(person, provider, tell) for person in cast.people}
    administrator = people[cast.people[0].subject]
    _seed_owner(organization, administrator, tell)
    github = _seed_github(organization, administrator, peers, tell)
    return Household(
        cast=cast,
        organization=organization,
        provider=provider,
        people=people,
        github=github,
        application=_seed_application(organization, administrator, github, application, description, tell),
    )


def _seed_provider(organization: Organization, cast: Cast, peers: Peers) -> IdentityProvider:
    issuer = peers.identity_providers[cast.slug]
    provider = IdentityProvider.objects.filter(organization=organization).first()
    if provider is not None and provider.issuer == issuer:
        return provider
    return set_identity_provider(
        organization=organization,
        provider=provider,
        name=f"{cast.name} (demo)",
        issuer=issuer,
        client_id=f"kontext-{cast.slug}",
        client_secret=secrets.token_urlsafe(24),
        email_domains=[cast.domain],
    )


def _seed_person(person: Person, provider: IdentityProvider, tell: Tell) -> User:
    """Have the person sign in once, which is how people come into being."""
    known = Identity.objects.filter(issuer=provider.issuer, subject=person.subject)
    if not known.exists():
        tell(f"{person.name} signs in for the first time")
        _sign_in(person)
    identity = known.select_related("user").first()
    if identity is None:
        raise SeedError(f"{person.name} signed in, but is not known: see the log of the web process")
    return identity.user


@async_to_sync
async def _sign_in(person: Person) -> None:
    async with Human(person, settings.PUBLIC_URL) as human:
        await human.sign_in()


@async_to_sync
async def _connect(person: Person, integration: str) -> None:
    async with Human(person, settings.PUBLIC_URL) as human:
        await human.sign_in()
        await human.connect_from_portal(integration)


def _seed_owner(organization: Organization, user: User, tell: Tell) -> None:
    membership = Membership.objects.get(organization=organization, user=user)
    if membership.role != Membership.Role.OWNER:
        tell(f"{user} administers {organization}")
        set_role(membership=membership, role=Membership.Role.OWNER)


def _seed_github(organization: Organization, administrator: User, peers: Peers, tell: Tell) -> Integration:
    actor, url = make_actor(user=administrator), f"{peers.github}/mcp"
    integration = Integration.objects.filter(organization=organization, slug="github").first()
    if integration is None:
        tell(f"{administrator} adds GitHub to {organization}")
        integration = add_integration(organization=organization, slug="github", name="GitHub", url=url, actor=actor)
    elif integration.url != url:
        integration = update_integration(integration=integration, url=url, actor=actor)
    if integration.status != Integration.Status.ACTIVE or integration.discovery_error:
        integration = discover_integration(integration=integration, actor=actor)
    if integration.status != Integration.Status.ACTIVE:
        raise SeedError(f"GitHub could not be discovered: {integration.discovery_error}")
    return integration


def _seed_application(
    organization: Organization, owner: User, github: Integration, name: str, description: str, tell: Tell
) -> Application:
    application = Application.objects.filter(organization=organization, name=name).first()
    if application is None:
        tell(f"{owner} registers {name}")
        application = register_application(
            organization=organization,
            name=name,
            description=description,
            owner=owner,
            client_type=Application.CLIENT_PUBLIC,
            redirect_uris=[REDIRECT_URI],
            actor=make_actor(user=owner),
        ).application
    allow_integration(application=application, integration=github, actor=make_actor(user=owner))
    return application


def _discover_with(household: Household, person: Person, tell: Tell) -> None:
    """Have somebody connect GitHub, so that its tools can be listed; they are pinned before anybody may call them."""
    github, user = household.github, household.people[person.subject]
    if github.capabilities.exists():
        return
    if not Connection.objects.filter(integration=github, user=user, status=Connection.Status.ACTIVE).exists():
        tell(f"{person.name} connects GitHub as {person.github}")
        _connect(person, github.name)
    connection = Connection.objects.get(integration=github, user=user)
    discover_capabilities(integration=github, connection=connection, actor=make_actor(user=household.administrator))


def _seed_rules(acme: Household, tell: Tell) -> dict[str, Rule]:
    """Return the rules of the story: one sentence of DESIGN section 1 each."""
    alice, carol = acme.people[ALICE.subject], acme.administrator
    engineering = Group.objects.get(organization=acme.organization, name="Engineering")
    repository = {"argument": "repo", "operator": "equals", "value": REPOSITORY}
    only = "the front end is all it was made for"
    return {
        "org": _seed_rule(acme, tell, carol, Layer.ORG, Effect.ALLOW, group=engineering),
        "user_allow": _seed_rule(acme, tell, alice, Layer.USER, Effect.ALLOW, user=alice, capability="create_issue"),
        "user_deny": _seed_rule(
            acme,
            tell,
            alice,
            Layer.USER,
            Effect.DENY,
            user=alice,
            capability="delete_repo",
            reason="deleting repositories is for people",
        ),
        "application": _seed_rule(
            acme,
            tell,
            carol,
            Layer.APPLICATION,
            Effect.ALLOW,
            application=acme.application,
            conditions=repository,
            reason=only,
        ),
    }


def _seed_rule(acme: Household, tell: Tell, author: User, layer: Layer, effect: Effect, **fields: Any) -> Rule:
    wanted = {"layer": layer, "effect": effect, "integration": acme.github, **fields}
    rule = Rule.objects.filter(organization=acme.organization, is_enabled=True, **wanted).first()
    if rule is None:
        rule = create_rule(organization=acme.organization, author=author, **wanted)
        tell(f"{author} writes a rule: {layer.label.lower()} layer, {effect.label.lower()}")
    return rule


def _describe(household: Household) -> dict[str, Any]:
    github, application = household.github, household.application
    return {
        "id": str(household.organization.pk),
        "name": household.organization.name,
        "identity_provider": str(household.provider.pk),
        "people": {
            subject: {"id": str(user.pk), "name": user.name, "email": user.email}
            for subject, user in household.people.items()
        },
        "github": {"id": str(github.pk), "slug": github.slug, "resource": github.resource},
        "application": {"id": str(application.pk), "client_id": application.client_id, "name": application.name},
    }
