"""What the consent page says an application could do, and with which rules it may begin.

The floors that know integrations and rules fill these in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orgs.models import Application, Organization, User
from orgs.oauth.resources import Resource


@dataclass(frozen=True, slots=True)
class AbilityGroup:
    verb: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What could be done at one integration, by what it does there. Names are capabilities' titles.

    `account` is whose account is used there, `connection` what to say where that isn't known.
    """

    integration: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    destroys: tuple[str, ...] = ()
    account: str = ""
    connection: str = ""

    @property
    def groups(self) -> list[AbilityGroup]:
        """Return what there is to show, the most harmful last."""
        groups = (("Read", self.reads), ("Change", self.writes), ("Destroy", self.destroys))
        return [AbilityGroup(verb, names) for verb, names in groups if names]


class AbilitiesProvider(Protocol):
    def __call__(self, *, user: User, application: Application, resources: Sequence[Resource]) -> list[Abilities]: ...


_providers: list[AbilitiesProvider] = []


def register_abilities_provider(provider: AbilitiesProvider) -> None:
    if provider not in _providers:
        _providers.append(provider)


def get_abilities(*, user: User, application: Application, resources: Sequence[Resource]) -> list[Abilities]:
    return [
        abilities
        for provider in _providers
        for abilities in provider(user=user, application=application, resources=resources)
    ]


@dataclass(frozen=True, slots=True)
class Beginning:
    """A few rules that a person may begin with. `is_proposed` where without any of them nothing would be allowed."""

    key: str
    name: str
    words: str
    sentences: tuple[str, ...]
    is_proposed: bool


class BeginningsProvider(Protocol):
    """`application` may belong to no organization yet when it is asked for offers; when it begins, it does."""

    def offer(
        self, *, user: User, organization: Organization, application: Application, resources: Sequence[Resource]
    ) -> list[Beginning]: ...

    def begin(
        self,
        *,
        user: User,
        organization: Organization,
        application: Application,
        resources: Sequence[Resource],
        key: str,
    ) -> None: ...


_beginnings: list[BeginningsProvider] = []


def register_beginnings(provider: BeginningsProvider) -> None:
    if provider not in _beginnings:
        _beginnings.append(provider)


def get_beginnings(
    *, user: User, organization: Organization, application: Application, resources: Sequence[Resource]
) -> list[Beginning]:
    return [
        beginning
        for provider in _beginnings
        for beginning in provider.offer(
            user=user, organization=organization, application=application, resources=resources
        )
    ]


def begin_with(
    key: str, *, user: User, organization: Organization, application: Application, resources: Sequence[Resource]
) -> None:
    """Write the rules of what was chosen, if it is one of those offered now: with an empty key, none are."""
    for provider in _beginnings:
        offered = provider.offer(user=user, organization=organization, application=application, resources=resources)
        if key in [beginning.key for beginning in offered]:
            provider.begin(user=user, organization=organization, application=application, resources=resources, key=key)
