"""What a retention statement says, and that nothing else passes for one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.notes import Checkpoint, NoteError, VerifierKey, open_checkpoint, parse_checkpoint, sign_note
from audit.statements import Dropped, Statement, open_statement, parse_statement

KEY = Ed25519PrivateKey.generate()
ORIGIN = "kontext.example/audit/acme"
VERIFIER = VerifierKey(ORIGIN, KEY.public_key().public_bytes_raw())
STATEMENT = Statement(
    head=Checkpoint(ORIGIN, 500, bytes(32)),
    month="2026-03",
    leaves=((0, 99), (101, 101)),
    kept="24 months",
    by="manage.py audit retain",
    at="2028-04-01T00:10:00Z",
)


def sign(text: str, key: Ed25519PrivateKey = KEY) -> str:
    return sign_note(text, ORIGIN, [key])


def test_statement_is_read_as_it_was_written() -> None:
    assert open_statement(sign(str(STATEMENT)), ORIGIN, [VERIFIER]) == STATEMENT
    assert STATEMENT.events == 101


def test_statement_and_checkpoint_are_never_taken_for_each_other() -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(str(STATEMENT))
    with pytest.raises(NoteError):
        open_checkpoint(sign(str(STATEMENT)), [VERIFIER])
    with pytest.raises(NoteError):
        open_statement(sign(str(STATEMENT.head)), ORIGIN, [VERIFIER])


def test_statement_of_another_key_or_log_is_refused() -> None:
    with pytest.raises(NoteError, match="none of the keys"):
        open_statement(sign(str(STATEMENT), Ed25519PrivateKey.generate()), ORIGIN, [VERIFIER])
    with pytest.raises(NoteError, match="another log"):
        open_statement(sign(str(replace(STATEMENT, head=Checkpoint("other", 500, bytes(32))))), ORIGIN, [VERIFIER])


def test_changed_statement_is_refused() -> None:
    note = sign(str(STATEMENT))
    with pytest.raises(NoteError, match="does not fit"):
        open_statement(note.replace("0-99", "0-98").replace("events: 101", "events: 100"), ORIGIN, [VERIFIER])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("events: 101", "events: 100"),
        ("leaves: 0-99 101-101", "leaves: "),
        ("leaves: 0-99 101-101", "leaves: 101-101 0-99"),
        ("leaves: 0-99 101-101", "leaves: 0-99 99-100"),
        ("leaves: 0-99 101-101", "leaves: 0-99 101-500"),
        ("leaves: 0-99 101-101", "leaves: 99-0 101-301"),
        ("leaves: 0-99 101-101", "leaves: 0-99 101"),
        ("leaves: 0-99", "leaves: 00-99"),
        ("version 1", "version 2"),
        ("month: ", "monat: "),
        ("kept: 24 months\n", ""),
        ("kept: 24 months\n", "kept: 24 months\nkept: 24 months\n"),
        ("at: ", "more: x\nat: "),
        ("tree: 500 ", "tree: 0500 "),
    ],
)
def test_statement_that_does_not_agree_with_itself_is_refused(before: str, after: str) -> None:
    assert before in str(STATEMENT)
    with pytest.raises(NoteError):
        parse_statement(str(STATEMENT).replace(before, after))


def test_words_of_a_statement_can_add_no_line() -> None:
    sly = replace(STATEMENT, by="x\nleaves: 0-499")
    assert parse_statement(str(sly)) == replace(STATEMENT, by="x leaves: 0-499")


RUNS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda run: (run[0], run[0] + run[1])), max_size=6)


@given(RUNS, st.integers(0, 80), st.integers(0, 80))
def test_dropped_has_exactly_the_leaves_of_its_runs(runs: list[tuple[int, int]], start: int, end: int) -> None:
    leaves = {leaf for first, last in runs for leaf in range(first, last + 1)}
    dropped = Dropped(runs)
    assert {leaf for leaf in range(80) if leaf in dropped} == leaves
    inside = {leaf for first, last in dropped.within(start, end) for leaf in range(first, last + 1)}
    assert inside == {leaf for leaf in leaves if start <= leaf < end}
    end_of_run = dropped.find_end(start)
    assert end_of_run not in leaves
    assert set(range(start, end_of_run)) <= leaves
