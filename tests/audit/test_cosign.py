"""A witness signs one history of a log, whoever submits what, in which order, and how many at once."""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import DatabaseError, connection, transaction

from audit.models import WitnessedLog
from audit.notes import (
    COSIGNATURE,
    Checkpoint,
    NoteError,
    UntrustedNoteError,
    VerifierKey,
    cosign,
    keep_signatures,
    open_checkpoint,
    parse_key,
    parse_witness_key,
    read_cosignatures,
    sign_note,
)
from audit.services.cosign import cosign_checkpoint
from audit.witness import (
    ConflictError,
    InconsistentError,
    Submission,
    UnknownLogError,
    UntrustedSignatureError,
    WitnessError,
    parse_submission,
)
from tests.audit.witnessed import Log

pytestmark = pytest.mark.django_db
KEY = Ed25519PrivateKey.generate()
WITNESS = VerifierKey("witness.test/w", KEY.public_key().public_bytes_raw(), COSIGNATURE)
# The example of c2sp.org/tlog-witness.
REQUEST = b"""\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\xe2\x80\x94 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""  # noqa: E501


def cosign_now(text: str) -> str:
    return cosign(text, WITNESS.name, KEY, 1679315147)


def submit(log: Log, known: int, new: int, **changes: Any) -> str:
    submission = replace(log.submit(known, new), **changes)
    return cosign_checkpoint(submission, keys=[log.verifier], cosign=cosign_now)


def state() -> tuple[int, bytes]:
    log = WitnessedLog.objects.get()
    return log.size, bytes(log.root)


def test_submission_reads_the_published_example_and_writes_it_again() -> None:
    submission = parse_submission(REQUEST)
    assert (submission.old, len(submission.proof), submission.origin) == (20852014, 4, "example.com/behind-the-sofa")
    assert submission.encode() == REQUEST


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 1",
        b"old 01\n\nx\n",
        b"old -1\n\nx\n",
        b"old 1 \n\nx\n",
        b"new 1\n\nx\n",
        b"old 1\nAAAA\n\nx\n",
        b"old 1\n!!!\n\nx\n",
        b"old 99999999999999999999\n\nx\n",
        b"\xff\n\n",
        b"old 1\n" + base64.b64encode(bytes(32)) * 1 + b"\n" + (base64.b64encode(bytes(32)) + b"\n") * 63 + b"\nx\n",
    ],
)
def test_submission_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(WitnessError) as refused:
        parse_submission(body)
    assert refused.value.status == 400


def test_cosign_follows_a_log_and_says_when() -> None:
    log = Log()
    for old, new in ((0, 3), (3, 8), (8, 8), (8, 21)):
        lines = submit(log, old, new)
        [signature] = read_cosignatures(log.note(new) + lines, [WITNESS])
        assert signature.timestamp == 1679315147
        assert open_checkpoint(log.note(new) + lines, [log.verifier]).size == new
    assert state()[0] == 21
    kept = WitnessedLog.objects.get().note
    assert read_cosignatures(kept, [WITNESS])
    assert open_checkpoint(kept, [log.verifier]).size == 21


def test_cosign_of_another_history_is_refused_and_changes_nothing() -> None:
    log = Log()
    submit(log, 0, 5)
    before = state()
    fork = log.fork()
    for old, new in ((5, 5), (5, 9), (5, 6)):
        with pytest.raises(InconsistentError):
            submit(fork, old, new)
    with pytest.raises(InconsistentError):
        submit(log, 5, 9, proof=[])
    with pytest.raises(ConflictError):
        submit(fork, 0, 9)  # as if it had never been seen
    assert state() == before
    assert submit(log, 5, 9)


def test_cosign_of_an_older_checkpoint_is_refused_with_the_size_that_counts() -> None:
    log = Log()
    submit(log, 0, 5)
    submit(log, 5, 9)
    for old, new in ((0, 5), (5, 5), (5, 9), (0, 20)):
        with pytest.raises(ConflictError) as conflict:
            submit(log, old, new)
        assert conflict.value.size == 9
    assert state()[0] == 9


def test_cosign_needs_a_key_that_is_trusted_for_this_log() -> None:
    log, stranger = Log(), Log()
    with pytest.raises(UnknownLogError):
        cosign_checkpoint(log.submit(0, 3), keys=[], cosign=cosign_now)
    with pytest.raises(UntrustedSignatureError):
        cosign_checkpoint(stranger.submit(0, 3), keys=[log.verifier], cosign=cosign_now)
    torn = log.note(3).replace("\n3\n", "\n4\n")
    with pytest.raises(UntrustedSignatureError):
        submit(log, 0, 3, note=torn)
    assert not WitnessedLog.objects.exists()


def test_cosign_ignores_signatures_of_others_and_keeps_none() -> None:
    log, other = Log(), Log("other.test/log")
    noise = other.note(1).rpartition("\n\n")[2]
    submit(log, 0, 3, note=log.note(3) + noise)
    assert "other.test" not in WitnessedLog.objects.get().note


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"old": 4}, WitnessError),
        ({"proof": [bytes(32)]}, InconsistentError),
        ({"note": "x\n"}, WitnessError),
        ({"note": "a\nb\nc\n\n— a AAAA\n"}, WitnessError),
        ({"note": Log().note(3).replace("\n3\n", "\n3\n\x00")}, WitnessError),
        ({"note": Log().note(3).replace("\n3\n", "\n9999999999999999999\n")}, WitnessError),
    ],
)
def test_cosign_of_what_makes_no_sense_is_refused(changes: dict[str, Any], error: type[WitnessError]) -> None:
    with pytest.raises(error):
        submit(Log(), 0, 3, **changes)


def test_cosign_of_a_log_beyond_all_measure_is_refused() -> None:
    log = Log()
    head = Checkpoint(log.origin, 2**63, bytes(32))
    with pytest.raises(WitnessError):
        submit(log, 0, 3, note=sign_note(str(head), log.origin, [log.key]))


def test_cosign_of_an_empty_log_needs_the_empty_root() -> None:
    log = Log()
    assert submit(log, 0, 0)
    wrong = Submission(0, [], Log(story="x").note(0).replace("47DEQpj8", "47DEQpj9"))
    with pytest.raises(WitnessError):
        cosign_checkpoint(wrong, keys=[log.verifier], cosign=cosign_now)
    assert state()[0] == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_witnessedlog SET size = size - 1",
        "UPDATE audit_witnessedlog SET root = '\\x00'",
        "UPDATE audit_witnessedlog SET origin = 'x'",
        "DELETE FROM audit_witnessedlog",
        "TRUNCATE audit_witnessedlog",
    ],
)
def test_what_was_signed_can_not_be_forgotten(statement: str) -> None:
    submit(Log(), 0, 5)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert state()[0] == 5


@pytest.mark.django_db(transaction=True)
def test_cosign_at_the_same_moment_signs_one_history() -> None:
    """Eight submissions of two histories from the same size: one of them wins."""
    log = Log(f"race.test/{id(object())}")
    submit(log, 0, 1)
    signed: list[tuple[str, int]] = []
    start = threading.Barrier(8)

    def race(story: Log, new: int) -> None:
        submission = story.submit(1, new)
        start.wait(30)
        try:
            cosign_checkpoint(submission, keys=[log.verifier], cosign=cosign_now)
            signed.append((story.story, new))
        except WitnessError:
            return
        finally:
            connection.close()

    threads = [threading.Thread(target=race, args=(story, new)) for new in range(2, 6) for story in (log, log.fork())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(signed) == 1
    assert WitnessedLog.objects.get(origin=log.origin).size == signed[0][1]


def test_keys_of_logs_and_of_witnesses_are_told_apart() -> None:
    log = Log()
    assert parse_witness_key(str(WITNESS)) == WITNESS
    with pytest.raises(NoteError, match="witness"):
        parse_witness_key(str(log.verifier))
    with pytest.raises(NoteError):
        parse_key(str(WITNESS))
    assert WITNESS.id != VerifierKey(WITNESS.name, WITNESS.public).id


def test_cosignature_that_does_not_fit_spoils_the_note_and_counts_for_nothing_else() -> None:
    log = Log()
    text = log.note(3).rpartition("\n\n")[0] + "\n"
    line = cosign_now(text)
    assert read_cosignatures(log.note(3) + line, [WITNESS])
    with pytest.raises(UntrustedNoteError):
        read_cosignatures(log.note(4) + line, [WITNESS])
    other = VerifierKey("witness.test/other", WITNESS.public, COSIGNATURE)
    assert read_cosignatures(log.note(3) + line, [other]) == []
    with pytest.raises(NoteError):  # a witness is no log
        open_checkpoint(keep_signatures(log.note(3) + line, [WITNESS]), [log.verifier, WITNESS])
    with pytest.raises(UntrustedNoteError, match="no time"):
        read_cosignatures(
            log.note(3) + cosign(log.note(3).rpartition("\n\n")[0] + "\n", WITNESS.name, KEY, 0), [WITNESS]
        )
