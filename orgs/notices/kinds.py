"""The kinds of notice there are. Whoever has something to tell registers it in `AppConfig.ready()`."""

from __future__ import annotations

from dataclasses import dataclass

TEST = "test"


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` is what programs get as `type`; `title` says what is told, for whoever chooses what to be told of."""

    name: str
    title: str


_kinds: dict[str, Kind] = {}


def register_kinds(*kinds: Kind) -> None:
    _kinds.update({kind.name: kind for kind in kinds})


def get_kinds() -> list[Kind]:
    return sorted(_kinds.values(), key=lambda kind: kind.name)


def is_kind(name: str) -> bool:
    return name in _kinds or name == TEST
