"""What a witness is asked (c2sp.org/tlog-witness, add-checkpoint), and when it may say yes. Pure: it keeps no state.

A request is the size that the log believes the witness to have signed last, a consistency proof from there, and the new
checkpoint as its log signed it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit.merkle import EMPTY_ROOT, HASH_BYTES, ProofError, verify_consistency
from audit.notes import Checkpoint, NoteError, UntrustedNoteError, VerifierKey, open_note, parse_checkpoint

MOST_HASHES = 63
SIZE_TYPE = "text/x.tlog.size"
_OLD = re.compile(r"\Aold (0|[1-9][0-9]{0,18})\Z")


class WitnessError(Exception):
    """The witness does not sign. `status` is what the protocol has it answer; `code` is ours."""

    status = 400
    code = "kontext_witness_malformed"


class UnknownLogError(WitnessError):
    status, code = 404, "kontext_witness_log_unknown"


class UntrustedSignatureError(WitnessError):
    status, code = 403, "kontext_witness_signature_untrusted"


class InconsistentError(WitnessError):
    """This is another history than the one that was signed, or no proof that it is the same."""

    status, code = 422, "kontext_witness_inconsistent"


class ConflictError(WitnessError):
    """The log is wrong about what was signed last: `size` is right."""

    status, code = 409, "kontext_witness_conflict"

    def __init__(self, size: int) -> None:
        super().__init__(f"the newest checkpoint that was cosigned has {size} leaves")
        self.size = size


@dataclass(frozen=True)
class Submission:
    old: int
    proof: Sequence[bytes]
    note: str

    @property
    def origin(self) -> str:
        return self.note.partition("\n")[0]

    def encode(self) -> bytes:
        lines = [f"old {self.old}", *(base64.b64encode(hash_).decode() for hash_ in self.proof), "", self.note]
        return "\n".join(lines).encode()


def parse_submission(body: bytes) -> Submission:
    """Read the body of a request. Raises WitnessError."""
    try:
        head, separator, note = body.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise WitnessError("the body is not UTF-8") from None
    first, *hashes = head.split("\n")
    old = _OLD.match(first)
    if old is None or not separator:
        raise WitnessError("the body begins with `old <size>`, the hashes of the proof, and an empty line")
    if len(hashes) > MOST_HASHES:
        raise WitnessError(f"a consistency proof has at most {MOST_HASHES} hashes")
    return Submission(int(old[1]), [_read_hash(line) for line in hashes], note)


def open_submission(submission: Submission, keys: Sequence[VerifierKey]) -> tuple[str, Checkpoint]:
    """Return the text of the submitted checkpoint, and what it says, if one of the log's keys signed it."""
    try:
        text = open_note(submission.note, keys)
        checkpoint = parse_checkpoint(text)
    except UntrustedNoteError as error:
        raise UntrustedSignatureError(str(error)) from None
    except NoteError as error:
        raise WitnessError(str(error)) from None
    if submission.old > checkpoint.size:
        raise WitnessError(f"the old size is {submission.old}, and the checkpoint has {checkpoint.size} leaves")
    return text, checkpoint


def check_growth(submission: Submission, checkpoint: Checkpoint, *, size: int, root: bytes) -> None:
    """Raise WitnessError unless the checkpoint continues what was signed last: `size` leaves under this root."""
    if submission.old != size:
        raise ConflictError(size)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise InconsistentError("the root is not that of an empty tree")
    try:
        verify_consistency(size, root, checkpoint.size, checkpoint.root, submission.proof)
    except ProofError as error:
        raise InconsistentError(str(error)) from None


def _read_hash(line: str) -> bytes:
    try:
        hash_ = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        hash_ = b""
    if len(hash_) != HASH_BYTES:
        raise WitnessError("a hash of the proof is not 32 bytes in base64")
    return hash_
