"""CEF by its own rules: what a value holds, whoever chose it, stays inside its field."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from audit.cef import to_cef
from audit.models import AuditEvent
from audit.types import EventType
from orgs.ids import uuid7

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def make_event(type_: str = "capability.invoked", **fields: Any) -> AuditEvent:
    now = timezone.now()
    return AuditEvent(type=type_, occurred_at=now, recorded_at=now, **fields)


def parse(line: str) -> tuple[list[str], dict[str, str]]:
    """Read CEF as its guide says: seven header fields between bare pipes, then keys before bare equals signs."""
    *header, extension = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    keys = list(re.finditer(r"(?:^|(?<= ))(\w+)=", extension))
    values = {}
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        raw = extension[key.end() : following.start() - 1 if following else None]
        assert not re.search(r"(?<!\\)(?:\\\\)*=", raw)
        values[key[1]] = re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), raw)
    return header, values


def test_event_has_header_and_keys() -> None:
    event = make_event(
        outcome="denied",
        phase="denied",
        user_name="Alice",
        user_id=uuid7(),
        application_name="PR-Bot",
        integration="github",
        capability="delete_repo",
        source_address="192.0.2.7",
        policy_version=4,
        decision={"sentence": "Denied by the user layer."},
        details={"name": "é"},
    )
    header, values = parse(to_cef(event, sequence=12))
    assert header[:4] == ["CEF:0", "Kontext", "Kontext", "1"]
    assert (header[4], header[6]) == ("capability.invoked", "6")
    assert values["rt"] == str(int(event.occurred_at.timestamp() * 1000))
    assert (values["externalId"], values["outcome"], values["act"]) == (str(event.pk), "denied", "denied")
    assert (values["suser"], values["sourceServiceName"], values["destinationServiceName"]) == (
        "Alice",
        "PR-Bot",
        "github",
    )
    assert (values["cs1"], values["cs1Label"], values["src"]) == ("delete_repo", "capability", "192.0.2.7")
    assert (values["cn1"], values["cn3"], values["cn3Label"]) == ("4", "12", "sequence")
    assert values["reason"] == "Denied by the user layer."
    assert values["cs6"] == '{"name": "é"}'
    assert "cs2" not in values  # what is unknown is left out, label and all


def test_ipv6_address_has_the_key_for_it() -> None:
    _, values = parse(to_cef(make_event(source_address="2001:db8::1"), sequence=0))
    assert (values["c6a2"], values["c6a2Label"]) == ("2001:db8::1", "Source IPv6 Address")
    assert "src" not in values


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a=b", r"a\=b"),
        (r"a\b", r"a\\b"),
        ("a|b", "a|b"),
        ("a\nCEF:0|x", r"a\nCEF:0|x"),
        ("a\r\nb", r"a\r\nb"),
        ("a\x00b\u2028c", "a b c"),
        ("x outcome=ok", r"x outcome\=ok"),
        (r"x\ outcome=ok", r"x\\ outcome\=ok"),
    ],
)
def test_value_is_escaped(name: str, written: str) -> None:
    line = to_cef(make_event(user_name=name, outcome="denied"), sequence=0)
    assert f"suser={written} " in line
    assert "\n" not in line


def test_header_escapes_pipes_and_backslashes() -> None:
    header, _ = parse(to_cef(make_event("made|up\\type\n"), sequence=0))
    assert header[4:6] == [r"made\|up\\type ", r"made\|up\\type "]


@given(TEXTS, TEXTS, TEXTS)
def test_no_value_says_anything_in_another_field(name: str, account: str, detail: str) -> None:
    event = make_event(user_name=name, account=account, details={"name": detail}, outcome="denied")
    line = to_cef(event, sequence=3)
    assert len(line.splitlines()) == 1
    header, values = parse(line)
    assert len(header) == 7
    honest = parse(to_cef(make_event(user_name="x", account="x", details={"name": "x"}, outcome="denied"), sequence=3))
    assert values.keys() | {"suser", "cs5", "cs5Label"} == honest[1].keys()
    assert (values["outcome"], values["cn3"]) == ("denied", "3")


def test_values_are_as_long_as_the_dictionary_allows() -> None:
    _, values = parse(to_cef(make_event(user_name="=" * 5000, capability="c" * 5000), sequence=0))
    assert (len(values["suser"]), len(values["cs1"])) == (1023, 4000)


@pytest.mark.parametrize("type_", list(EventType))
def test_every_type_is_one_line(type_: EventType) -> None:
    assert len(to_cef(make_event(type_), sequence=0).splitlines()) == 1
