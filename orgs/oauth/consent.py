"""What the consent page says an application could do. The floor that knows integrations fills it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orgs.models import Application, User
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
