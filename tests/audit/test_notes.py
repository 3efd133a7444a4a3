"""Signed notes against the specification's own example, and what is no note."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.notes import (
    Checkpoint,
    NoteError,
    VerifierKey,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_key,
    read_notes,
    sign_note,
)

# The example key and note of golang.org/x/mod/sumdb/note, whose format c2sp.org/signed-note specifies.
PETER = parse_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ONE, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
HEAD = Checkpoint("example.com/audit/x", 7, bytes(range(32)))


def public(key: Ed25519PrivateKey, name: str = HEAD.origin) -> VerifierKey:
    return VerifierKey(name, key.public_key().public_bytes_raw())


def test_open_note_reads_the_published_example() -> None:
    assert open_note(NOTE, [PETER]) == NOTE.partition("\n\n")[0] + "\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("the answer", "an answer"),
        lambda note: note.replace("/ZJku", "/ZJkv"),
        lambda note: note.replace("PeterNeumann", "Somebody"),
        lambda note: note.removesuffix("\n"),
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note.replace("— ", "- "),
        lambda note: note + "\n",
        lambda note: "",
    ],
)
def test_open_note_refuses_a_changed_one(change: object) -> None:
    assert callable(change)
    with pytest.raises(NoteError):
        open_note(change(NOTE), [PETER])


def test_checkpoint_signed_by_two_keys_opens_with_either() -> None:
    note = sign_note(str(HEAD), HEAD.origin, [ONE, OTHER])
    assert open_checkpoint(note, [public(ONE)]) == open_checkpoint(note, [public(OTHER)]) == HEAD
    with pytest.raises(NoteError, match="none of the keys"):
        open_checkpoint(note, [public(Ed25519PrivateKey.generate())])


def test_key_is_written_and_read() -> None:
    assert parse_key(str(public(ONE))) == public(ONE)
    assert str(PETER) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


@pytest.mark.parametrize("text", ["", "a+b", "a+00000000+AAAA", str(PETER).replace("c74f20a3", "c74f20a4")])
def test_parse_key_refuses_what_is_none(text: str) -> None:
    with pytest.raises(NoteError):
        parse_key(text)


@pytest.mark.parametrize(
    "text", ["", "a\n1\n", "a\n01\nAA==\n", "a\n-1\n" + "A" * 44 + "\n", "\n1\nAAAA\n", "a\n1\nAAAA\n"]
)
def test_parse_checkpoint_refuses_what_is_none(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)


def test_read_notes_leaves_out_a_torn_one() -> None:
    notes = [sign_note(str(Checkpoint(HEAD.origin, size, HEAD.root)), HEAD.origin, [ONE, OTHER]) for size in (1, 2, 3)]
    whole = "".join(notes)
    assert list(read_notes(whole)) == notes
    for cut in range(1, len(notes[2])):
        assert list(read_notes(whole[:-cut]))[:2] == notes[:2]
