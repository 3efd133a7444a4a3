"""Tables become frozen dataclasses. What doesn't fit is told exactly: which field, what is wrong, what to do."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")
_KINDS = {str: "a text", bool: "true or false", int: "a whole number"}


class UnreadableError(ValueError):
    """All that is wrong with a table, as (field, what to do)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems))
        self.problems = problems


def read_table(kind: type[T], table: Mapping[str, Any]) -> T:
    """Return the dataclass that the table describes. Raises UnreadableError with every problem in it."""
    problems: list[tuple[str, str]] = []
    made = _read(kind, table, "", problems)
    if problems:
        raise UnreadableError(problems)
    return typing.cast(T, made)


def read_stored(kind: type[T], table: Mapping[str, Any]) -> T:
    """Return what write_table wrote, also by another release: members that are not known (any more) are skipped."""
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    return read_table(kind, {name: value for name, value in table.items() if name in known})


def write_table(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON keeps it, without what is as usual."""
    document = asdict(value)
    for entry in fields(value):
        if document[entry.name] == _get_default(entry):
            del document[entry.name]
        elif is_dataclass(getattr(value, entry.name)):
            document[entry.name] = write_table(getattr(value, entry.name))
        elif isinstance(getattr(value, entry.name), Mapping):
            items = getattr(value, entry.name).items()
            document[entry.name] = {key: write_table(kept) if is_dataclass(kept) else kept for key, kept in items}
        elif isinstance(document[entry.name], tuple):
            document[entry.name] = list(document[entry.name])
    return document


def _get_default(entry: Field[Any]) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def _read(kind: Any, table: object, place: str, problems: list[tuple[str, str]]) -> Any:
    if not isinstance(table, Mapping):
        problems.append((place.rstrip("."), "must be a table"))
        return None
    hints = _get_hints(kind)
    known = {entry.name: entry for entry in fields(kind)}
    for name in sorted(set(table) - set(known)):
        problems.append((place + name, _suggest(name, list(known))))
    given: dict[str, Any] = {}
    for name, entry in known.items():
        if name in table:
            given[name] = _convert(hints[name], table[name], place + name, problems)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            problems.append((place + name, "is missing: add it"))
            given[name] = None
    return kind(**given)


@lru_cache(maxsize=32)
def _get_hints(kind: type) -> dict[str, Any]:
    # Evaluating the annotations anew for each table would be most of the time that a catalogue takes.
    return typing.get_type_hints(kind)


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"is not a field: did you mean {close[0]}?" if close else f"is not a field: choose of {', '.join(known)}"


def _convert(hint: Any, value: object, place: str, problems: list[tuple[str, str]]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _read(hint, value, f"{place}.", problems)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, place, problems)
    if origin is tuple:
        return _convert_list(arguments[0], value, place, problems)
    if origin is not None and issubclass(origin, Mapping):
        return _convert_map(arguments[1], value, place, problems)
    if type(value) is not hint:
        problems.append((place, f"must be {_KINDS[hint]}"))
    return value


def _convert_union(kinds: tuple[Any, ...], value: object, place: str, problems: list[tuple[str, str]]) -> Any:
    wanted = [kind for kind in kinds if kind is not type(None)]
    if len(wanted) == 1:
        return _convert(wanted[0], value, place, problems)
    if type(value) not in wanted:
        problems.append((place, "must be " + " or ".join(_KINDS[kind] for kind in wanted)))
    return value


def _convert_list(kind: Any, value: object, place: str, problems: list[tuple[str, str]]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        problems.append((place, f"must be a list, each entry {_KINDS[kind]}"))
        return ()
    return tuple(_convert(kind, entry, f"{place}[{number}]", problems) for number, entry in enumerate(value))


def _convert_map(kind: Any, value: object, place: str, problems: list[tuple[str, str]]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        problems.append((place, "must be a table"))
        return {}
    return {str(name): _convert(kind, entry, f"{place}.{name}", problems) for name, entry in value.items()}
