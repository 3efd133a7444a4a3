"""Events in ArcSight's Common Event Format, version 0, for collectors that know no OCSF.

`CEF:0|vendor|product|version|type|text|severity|` and then `key=value` pairs with the keys of its extension dictionary.
In the header a pipe and a backslash are escaped, in the extension an equals sign, a backslash and line breaks; so no
value, whoever chose it, can end its field or begin another one. Values are as long as the dictionary allows. What the
dictionary has no key for is in the custom fields, whose labels say what they hold: docs/audit-events.md lists them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

from audit.models import AuditEvent
from audit.ocsf import describe

# Of this mapping: raised when a key begins to mean something else.
VERSION = "1"
_LOW, _MEDIUM, _HIGH = 3, 5, 6
_SEVERITY = {"ok": _LOW, "": _LOW, "cancelled": _LOW, "denied": _HIGH, "error_auth": _HIGH}
_LENGTHS = {"externalId": 40, "act": 63, "outcome": 63, "cs": 4000}
_LENGTH = 1023
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")
_LINE_BREAKS = {"\n": r"\n", "\r": r"\r"}


def to_cef(event: AuditEvent, *, sequence: int) -> str:
    """Return the event as one line. `sequence` is its place in its organization's tree."""
    meaning = describe(event)
    header = ("Kontext", "Kontext", VERSION, event.type, meaning.text, str(_SEVERITY.get(event.outcome, _MEDIUM)))
    extension = " ".join(f"{key}={_escape_value(key, value)}" for key, value in _fields(event, sequence) if value)
    return f"CEF:0|{'|'.join(map(_escape_header, header))}|{extension}"


def _fields(event: AuditEvent, sequence: int) -> Iterator[tuple[str, str]]:
    yield "rt", str(int(event.occurred_at.timestamp() * 1000))
    yield "externalId", str(event.pk)
    yield "act", event.phase or event.type.rpartition(".")[2]
    yield "outcome", event.outcome
    yield "reason", str((event.decision or {}).get("sentence") or "") if event.outcome == "denied" else ""
    yield from _address(event.source_address)
    yield "suid", str(event.user_id or "")
    yield "suser", event.user_name
    yield "sourceServiceName", event.application_name
    yield "destinationServiceName", event.integration
    yield from _labelled("cs1", "capability", event.capability)
    yield from _labelled("cs2", "call", str(event.call_id or ""))
    yield from _labelled("cs3", "session", event.session)
    yield from _labelled("cs4", "request", event.request_id)
    yield from _labelled("cs5", "account", event.account)
    yield from _labelled("cs6", "details", json.dumps(event.details, ensure_ascii=False) if event.details else "")
    yield from _labelled("cn1", "policyVersion", _number(event.policy_version))
    yield from _labelled("cn2", "latencyMicroseconds", _number(event.latency_us))
    yield from _labelled("cn3", "sequence", str(sequence))
    yield from _labelled("flexString1", "organization", str(event.organization_id or ""))
    yield from _labelled("flexString2", "trace", event.trace_id)


def _address(address: str | None) -> Iterator[tuple[str, str]]:
    if address is None:
        return
    if isinstance(ip_address(address), IPv6Address):  # `src` holds IPv4 alone
        yield from _labelled("c6a2", "Source IPv6 Address", address)
    else:
        yield "src", address


def _labelled(key: str, label: str, value: str) -> Iterator[tuple[str, str]]:
    if value:
        yield key, value
        yield f"{key}Label", label


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _escape_header(text: str) -> str:
    plain = _CONTROL.sub(" ", text).replace("\n", " ").replace("\r", " ")
    return plain.replace("\\", "\\\\").replace("|", "\\|")


def _escape_value(key: str, text: str) -> str:
    longest = _LENGTHS.get(key) or _LENGTHS.get(key[:2], _LENGTH)
    plain = _CONTROL.sub(" ", text[:longest]).replace("\\", "\\\\").replace("=", "\\=")
    for character, written in _LINE_BREAKS.items():
        plain = plain.replace(character, written)
    return plain
