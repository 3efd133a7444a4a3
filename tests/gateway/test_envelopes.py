"""What a client carries for us opens for the same principal, integration and purpose, and for nobody else."""

from __future__ import annotations

import os
from uuid import UUID

import pytest

from gateway.mcp.envelopes import Envelopes, name_session
from orgs.vault.box import Key


@pytest.fixture
def envelopes() -> Envelopes:
    return Envelopes(Key(UUID(int=7), os.urandom(32)))


def test_open_envelope_gives_back_what_was_sealed(envelopes: Envelopes) -> None:
    sealed = envelopes.seal("session", "alice", "upstream-session")
    assert "upstream" not in sealed
    assert sealed.isascii()
    assert envelopes.open("session", "alice", sealed) == "upstream-session"


@pytest.mark.parametrize(("purpose", "binding"), [("session", "bob"), ("requestState", "alice")])
def test_open_envelope_for_another_binding_or_purpose_gives_nothing(
    envelopes: Envelopes, purpose: str, binding: str
) -> None:
    assert envelopes.open(purpose, binding, envelopes.seal("session", "alice", "x")) is None


def test_open_changed_envelope_gives_nothing(envelopes: Envelopes) -> None:
    sealed = envelopes.seal("session", "alice", "x")
    for position in range(len(sealed)):
        changed = sealed[:position] + ("A" if sealed[position] != "A" else "B") + sealed[position + 1 :]
        assert envelopes.open("session", "alice", changed) in (None, "x")  # the last character has spare bits
    assert envelopes.open("session", "alice", sealed[:-2]) is None


@pytest.mark.parametrize("sealed", ["", "x", "!!!!", "é", "A" * 100_000])
def test_open_garbage_gives_nothing(envelopes: Envelopes, sealed: str) -> None:
    assert envelopes.open("session", "alice", sealed) is None


def test_open_envelope_of_another_installation_gives_nothing(envelopes: Envelopes) -> None:
    other = Envelopes(Key(UUID(int=7), os.urandom(32)))
    assert other.open("session", "alice", envelopes.seal("session", "alice", "x")) is None


def test_name_session_is_not_the_session(envelopes: Envelopes) -> None:
    sealed = envelopes.seal("session", "alice", "x")
    assert name_session(sealed) == name_session(sealed)
    assert name_session(sealed) not in sealed
