"""Signed notes and checkpoints as C2SP specifies them: pure Python and `cryptography`, to be shipped with a verifier.

c2sp.org/signed-note, c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature. A log's signatures are Ed25519 (0x01), and
its key's name is its origin; a witness's are cosignature/v1 (0x04), Ed25519 over a time and the note's text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = 0x01
COSIGNATURE = 0x04
_MOST_SIGNATURES = 64
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_YEAR_10000 = 253_402_300_800
_SIGNATURE_LINE = re.compile(r"\A— ([^\s+]+) ([A-Za-z0-9+/=]+)\Z")
_KEY = re.compile(r"\A([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)\Z")


class NoteError(ValueError):
    """This is no note, no checkpoint, no key, or nobody known signed it."""


class UntrustedNoteError(NoteError):
    """Nobody known signed this note, or a signature of somebody known does not fit it."""


@dataclass(frozen=True)
class VerifierKey:
    """A public key with the name it signs under, written `name+id+base64` ("vkey")."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self._typed).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self._typed).decode()}"

    @property
    def _typed(self) -> bytes:
        return bytes([self.kind]) + self.public


@dataclass(frozen=True)
class Cosignature:
    """That a witness, at a time in seconds since 1970, had seen nothing of the log that this checkpoint contradicts."""

    witness: VerifierKey
    timestamp: int


@dataclass(frozen=True)
class Checkpoint:
    """The head of a log: how many leaves it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_key(text: str) -> VerifierKey:
    """Read the key of a log."""
    return _parse_key(text, ED25519, "no Ed25519 verifier key")


def parse_witness_key(text: str) -> VerifierKey:
    return _parse_key(text, COSIGNATURE, "no key of a witness (cosignature/v1)")


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a note. Lines after the third are extensions, which nobody here knows."""
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise NoteError("this is no checkpoint: its lines are the origin, the size and the root")
    root = _decode(lines[2])
    if len(root) != hashlib.sha256().digest_size or int(lines[1]) >= 2**63:
        raise NoteError("this is no checkpoint: its root has not 32 bytes, or its size is beyond all measure")
    return Checkpoint(lines[0], int(lines[1]), root)


def sign_note(text: str, name: str, keys: Sequence[Ed25519PrivateKey]) -> str:
    """Return the note: the text, an empty line, and one signature of each key under this name."""
    lines = []
    for key in keys:
        verifier = VerifierKey(name, key.public_key().public_bytes_raw())
        lines.append(_write_signature(verifier, key.sign(text.encode())))
    return f"{text}\n{''.join(lines)}"


def cosign(text: str, name: str, key: Ed25519PrivateKey, timestamp: int) -> str:
    """Return the signature line of a witness for the text of a checkpoint, to be added to its note."""
    witness = VerifierKey(name, key.public_key().public_bytes_raw(), COSIGNATURE)
    return _write_signature(witness, timestamp.to_bytes(8, "big") + key.sign(_cosigned(text, timestamp)))


def open_note(note: str, keys: Sequence[VerifierKey]) -> str:
    """Return the text of a note that one of these keys signed.

    Raises NoteError otherwise. Signatures of other keys are passed over; a bad one of a known key spoils the note.
    """
    text, signatures = _split_note(note)
    signers = list(_find_known(signatures, keys, ED25519))
    for key, signature in signers:
        _verify(key, signature, text.encode())
    if not signers:
        raise UntrustedNoteError("none of the keys that are trusted signed this note")
    return text


def read_cosignatures(note: str, witnesses: Sequence[VerifierKey]) -> list[Cosignature]:
    """Return what these witnesses signed. Raises NoteError where a signature of one of them does not fit."""
    text, signatures = _split_note(note)
    found = []
    for witness, blob in _find_known(signatures, witnesses, COSIGNATURE):
        timestamp, signature = int.from_bytes(blob[:8], "big"), blob[8:]
        _verify(witness, signature, _cosigned(text, timestamp))
        if not 0 < timestamp < _YEAR_10000:
            raise UntrustedNoteError(f"the cosignature of {witness.name} names no time")
        found.append(Cosignature(witness, timestamp))
    return found


def keep_signatures(note: str, keys: Sequence[VerifierKey]) -> str:
    """Return the note without the signatures of others than these keys."""
    text, signatures = _split_note(note)
    known = {(key.name, key.id): key for key in keys}
    kept = [(known[name, blob[:4]], blob[4:]) for name, blob in signatures if (name, blob[:4]) in known]
    return f"{text}\n{''.join(_write_signature(key, signature) for key, signature in kept)}"


def open_checkpoint(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    return parse_checkpoint(open_note(note, keys))


def read_notes(text: str) -> Iterator[str]:
    """Yield the notes of a file to which notes were appended. A last one that is torn, by a crash, is left out."""
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        is_signature = line.startswith("— ")
        if lines and lines[-1].startswith("— ") and not is_signature:
            yield "".join(lines)
            lines = []
        lines.append(line)
    if lines and lines[-1].startswith("— ") and lines[-1].endswith("\n"):
        yield "".join(lines)


def _parse_key(text: str, kind: int, otherwise: str) -> VerifierKey:
    found = _KEY.match(text.strip())
    encoded = _decode(found[3]) if found else b""
    if found is None or len(encoded) != 33 or encoded[0] != kind:
        raise NoteError(f"this is {otherwise}: it reads <name>+<id>+<base64>")
    key = VerifierKey(found[1], encoded[1:], kind)
    if key.id.hex() != found[2]:
        raise NoteError(f"the key of {key.name} was changed: its id does not belong to it")
    return key


def _find_known(
    signatures: Sequence[tuple[str, bytes]], keys: Sequence[VerifierKey], kind: int
) -> Iterator[tuple[VerifierKey, bytes]]:
    known = {(key.name, key.id): key for key in keys if key.kind == kind}
    for name, blob in signatures:
        if (name, blob[:4]) in known:
            yield known[name, blob[:4]], blob[4:]


def _verify(key: VerifierKey, signature: bytes, signed: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, signed)
    except InvalidSignature:
        raise UntrustedNoteError(f"the signature of {key.name} does not fit this note") from None


def _cosigned(text: str, timestamp: int) -> bytes:
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def _write_signature(key: VerifierKey, signature: bytes) -> str:
    return f"— {key.name} {base64.b64encode(key.id + signature).decode()}\n"


def _split_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    body, separator, tail = note.rpartition("\n\n")
    lines = tail.removesuffix("\n").split("\n")
    if not separator or not tail.endswith("\n") or len(lines) > _MOST_SIGNATURES or _CONTROL.search(note):
        raise NoteError("this is no signed note: after its text come an empty line and signatures")
    return f"{body}\n", [_read_signature(line) for line in lines]


def _read_signature(line: str) -> tuple[str, bytes]:
    found = _SIGNATURE_LINE.match(line)
    signature = _decode(found[2]) if found else b""
    if found is None or len(signature) < 5:
        raise NoteError("this is no signed note: a signature line reads — <name> <base64>")
    return found[1], signature


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
