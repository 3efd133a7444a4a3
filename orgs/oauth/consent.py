"""What the consent page says an application could do. The floor that knows integrations fills it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orgs.models import Application, User
from orgs.oauth.resources import Resource


@dataclass(frozen=True, slots=True)
class Abilities:
    """What could be done at one integration, by what it does there. Names are capabilities' titles."""

    integration: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    destroys: tuple[str, ...] = ()
    account: str = ""


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
