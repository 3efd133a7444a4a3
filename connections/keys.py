"""A key that somebody entered, perhaps in several parts, as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.core.exceptions import ValidationError

from connections.injection import check_value
from connections.models import Integration
from connections.sealing import Document

_MAX_LENGTH = 8192


@dataclass(frozen=True, slots=True)
class KeyField:
    """One part to ask for. What is not hidden may be read while it is typed: an e-mail address, a user name."""

    name: str
    label: str
    is_hidden: bool = True


def get_key_fields(integration: Integration) -> list[KeyField]:
    """Return what a person is asked for, in order. The part named `token` is the key itself, or the last one."""
    fields = [KeyField(name, label, not shown) for name, label, shown in integration.key_fields]
    return fields if len(fields) > 1 else [KeyField("key", f"Your key for {integration.name}")]


def make_key_document(integration: Integration, given: Mapping[str, str]) -> Document:
    """Return the plaintext of a credential. Raises ValidationError, keyed by part."""
    problems: dict[str, str] = {}
    names = [field.name for field in get_key_fields(integration)]
    for name in names:
        problems |= _find_fault(name, given.get(name, ""))
    problems |= dict.fromkeys(set(given) - set(names), "This integration asks for no such part of a key.")
    if problems:
        raise ValidationError(problems)
    if names == ["key"]:
        only = next((name for name, *_ in integration.key_fields), "token")
        return {"key": given["key"]} if only == "token" else {"key": given["key"], "values": {only: given["key"]}}
    return {"key": given["token" if "token" in names else names[-1]], "values": {name: given[name] for name in names}}


def _find_fault(name: str, value: str) -> dict[str, str]:
    if not value:
        return {name: "Enter it: nothing was stored."}
    if len(value) > _MAX_LENGTH:
        return {name: "This is too long to be a key."}
    try:
        check_value(value)
    except ValueError:
        return {name: "A key is of printable characters without spaces around it."}
    return {}
