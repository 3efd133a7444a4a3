"""Verify an exported audit log, trusting nobody: `python verify.py`, in the folder it came in.

Needs Python 3.11 or newer and the package `cryptography`, and nothing of Kontext. Every event is hashed as it stands in
events.jsonl, and the tree over them must have the root that the signed checkpoint states. Give `--key` what you were
told of the key by other means, and `--checkpoint` what you kept of the log before: the bundle can't vouch for itself.
Each `--witness` must have cosigned the log, so that nobody was shown another one.
Exit codes: 0 it is as it was sealed, 1 it is not, 2 the command line was not understood.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import hmac
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from audit.merkle import Frontier, ProofError, hash_leaf, verify_consistency, verify_inclusion
from audit.notes import (
    Checkpoint,
    NoteError,
    VerifierKey,
    open_checkpoint,
    parse_key,
    parse_witness_key,
    read_cosignatures,
    read_notes,
)
from audit.statements import Dropped, open_statement

# What follows "event" up to the last brace is the leaf's data, byte for byte.
_GONE = re.compile(rb'\A\{"index": ([0-9]{1,18}), "dropped": "([A-Za-z0-9+/]{43}=)"\}\n\Z')
_LINE = re.compile(rb'\A\{"index": ([0-9]{1,18}), "version": ([0-9]{1,3}), "event": (\[.*\])\}\n\Z', re.DOTALL)


# What was kept of the content of calls, where it was exported, too: in the order of the events.
PAYLOADS = "payloads.jsonl"
# The places of an event's identifier and details in its array, in every version: columns are only added at the end.
_ID, _DETAILS = 0, 25


class BundleError(Exception):
    """The bundle is not what was sealed, or no bundle at all. Says what is wrong first."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify an exported audit log.")
    parser.add_argument("--bundle", type=Path, default=Path(__file__).resolve().parent, help="its folder")
    parser.add_argument("--key", action="append", default=[], help="a key you trust, instead of those in the bundle")
    parser.add_argument("--checkpoint", type=Path, help="checkpoints that you kept, which must be of this log")
    parser.add_argument("--witness", action="append", default=[], help="the key of a witness who must have cosigned it")
    options = parser.parse_args(arguments)
    try:
        text = verify_bundle(options.bundle, keys=options.key, kept=options.checkpoint, witnesses=options.witness)
    except BundleError as error:
        print(f"✕ {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"✓ {text}")  # noqa: T201
    return 0


def verify_bundle(
    folder: Path, *, keys: Sequence[str] = (), kept: Path | None = None, witnesses: Sequence[str] = ()
) -> str:
    """Return a sentence on what was verified. Raises BundleError."""
    trusted = _read_keys(folder, keys)
    manifest = _read_manifest(folder)
    head = _open(_read(folder / "checkpoint"), trusted)
    earlier = [_open(note, trusted) for note in read_notes(_read(kept))] if kept is not None else []
    if not manifest.get("complete"):
        if earlier:
            raise BundleError("kept checkpoints can only be compared with a complete export")
        count, dropped = _verify_part(folder, head), 0
    else:
        count, dropped = _verify_whole(folder, head, earlier, _read_statements(folder, head.origin, trusted))
    if count != manifest.get("count"):
        raise BundleError(f"the bundle has {count} events, but says that it has {manifest.get('count')}")
    cosigned = _verify_cosigned(folder, manifest, head, trusted, witnesses)
    _verify_payloads(folder)
    whole = "all" if manifest.get("complete") else "part of the"
    source = "the key you gave" if keys else "a key that came with the bundle: compare it with one from elsewhere"
    gone = f"; {dropped} were dropped, as signed statements say" if dropped else ""
    text = f"{count} events, {whole} {head.size} of {head.origin}, are as they were sealed{gone}; signed with {source}"
    return f"{text}{cosigned}"


def _verify_cosigned(
    folder: Path, manifest: dict[str, Any], head: Checkpoint, keys: Sequence[VerifierKey], wanted: Sequence[str]
) -> str:
    """Return what to say of the witnesses that were asked for. Raises BundleError where one has not signed this log."""
    notes = list(read_notes(_read(folder / "cosigned"))) if (folder / "cosigned").exists() else []
    if not wanted:
        return "; witnesses have cosigned it, and `--witness` checks one" if notes else ""
    said = []
    for witness in _parse_keys(wanted, parse_witness_key):
        signed = [(note, signature) for note in notes for signature in _read_cosignatures(note, witness)]
        if not signed:
            raise BundleError(f"{witness.name} has not cosigned this log")
        for note, signature in signed:
            checkpoint = _open(note, keys)
            _check_growth(checkpoint, head, manifest)
            moment = dt.datetime.fromtimestamp(signature.timestamp, dt.UTC)
            said.append(f"; {witness.name} has cosigned the first {checkpoint.size} at {moment:%Y-%m-%d %H:%M:%S} UTC")
    return "".join(said)


def _check_growth(earlier: Checkpoint, head: Checkpoint, manifest: dict[str, Any]) -> None:
    proofs = manifest.get("cosigned")
    hashes = proofs.get(str(earlier.size)) if isinstance(proofs, dict) else None
    try:
        if earlier.origin != head.origin:
            raise ProofError("of another log")
        proof = [base64.b64decode(hash_, validate=True) for hash_ in hashes or []]
        verify_consistency(earlier.size, earlier.root, head.size, head.root, proof)
    except (ProofError, ValueError, TypeError):
        raise BundleError("what a witness has cosigned is not the beginning of this log") from None


def _read_cosignatures(note: str, witness: VerifierKey) -> list[Any]:
    try:
        return list(read_cosignatures(note, [witness]))
    except NoteError as error:
        raise BundleError(str(error)) from None


def _verify_whole(folder: Path, head: Checkpoint, earlier: Sequence[Checkpoint], dropped: Dropped) -> tuple[int, int]:
    """Return how many events are there, and how many were dropped."""
    wanted = {checkpoint.size: checkpoint for checkpoint in [*earlier, head]}
    if any(checkpoint.origin != head.origin for checkpoint in earlier):
        raise BundleError("a checkpoint that was kept is of another log")
    if max(wanted) > head.size:
        raise BundleError(f"the log had {max(wanted)} events once, and has {head.size} here: the newest are missing")
    frontier, gone = Frontier(), 0
    _compare(frontier, wanted)
    for index, leaf, is_there in _read_events(folder):
        if index != frontier.size:
            raise BundleError(f"event {frontier.size} is missing: event {index} stands in its place")
        if not is_there and index not in dropped:
            raise BundleError(f"event {index} is missing, and no signed statement says that it was dropped")
        gone += not is_there
        frontier = frontier.append([leaf])
        _compare(frontier, wanted)
    if frontier.size != head.size:
        raise BundleError(f"the newest events are missing: {frontier.size} of {head.size} are there")
    return frontier.size - gone, gone


def _compare(frontier: Frontier, wanted: dict[int, Checkpoint]) -> None:
    checkpoint = wanted.get(frontier.size)
    if checkpoint is not None and frontier.root() != checkpoint.root:
        raise BundleError(f"the first {frontier.size} events are not those that were sealed: the root differs")


def _verify_part(folder: Path, head: Checkpoint) -> int:
    count, last = 0, -1
    proofs = _read_proofs(folder)
    for index, leaf, is_there in _read_events(folder):
        if not is_there:
            raise BundleError(f"event {index} is missing")
        proof_index, hashes = next(proofs, (-1, []))
        if proof_index != index or index <= last:
            raise BundleError(f"event {index} has no proof, or is not in order")
        try:
            verify_inclusion(leaf, index, head.size, hashes, head.root)
        except ProofError:
            raise BundleError(f"event {index} is not what was sealed") from None
        count, last = count + 1, index
    if next(proofs, None) is not None:
        raise BundleError(f"an event after event {last} is missing: there is a proof for it")
    return count


def _verify_payloads(folder: Path) -> None:
    """Compare each payload with the digest in its event: HMAC-SHA-256 of the text, under the key beside it."""
    if not (folder / PAYLOADS).exists():
        return
    digests = _read_digests(folder)
    with _open_file(folder / PAYLOADS) as file:
        for number, line in enumerate(file, 1):
            try:
                payload = json.loads(line)
                key, text = bytes.fromhex(payload["key"]), payload["payload"].encode()
                wanted = next((digest for event, digest in digests if event == payload["event"]), None)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise BundleError(f"line {number} of {PAYLOADS} is no payload") from None
            if wanted is None or hmac.digest(key, text, "sha256").hex() != wanted:
                raise BundleError(f"line {number} of {PAYLOADS} is not what was kept at an event, or not in order")


def _read_digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the identifier and the digest of each event at which content was kept."""
    with _open_file(folder / "events.jsonl") as file:
        for line in file:
            found = _LINE.match(line)
            event = json.loads(found[3]) if found is not None else []
            details = event[_DETAILS] if len(event) > _DETAILS else None
            note = details.get("payload") if isinstance(details, dict) else None
            if isinstance(note, dict):
                yield event[_ID], str(note.get("digest"))


def _read_events(folder: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Yield of each line its place in the tree, the hash of the leaf, and whether the event is there."""
    with _open_file(folder / "events.jsonl") as file:
        for number, line in enumerate(file, 1):
            gone = _GONE.match(line)
            if gone is not None:
                yield int(gone[1]), base64.b64decode(gone[2]), False
                continue
            found = _LINE.match(line)
            if found is None or int(found[2]) > 255:
                raise BundleError(f"line {number} of events.jsonl is no event")
            yield int(found[1]), hash_leaf(bytes([int(found[2])]) + found[3]), True


def _read_proofs(folder: Path) -> Iterator[tuple[int, list[bytes]]]:
    with _open_file(folder / "proofs.jsonl") as file:
        for number, line in enumerate(file, 1):
            try:
                proof = json.loads(line)
                yield int(proof["index"]), [base64.b64decode(hash_, validate=True) for hash_ in proof["hashes"]]
            except (ValueError, KeyError, TypeError):
                raise BundleError(f"line {number} of proofs.jsonl is no proof") from None


def _read_statements(folder: Path, origin: str, keys: Sequence[VerifierKey]) -> Dropped:
    if not (folder / "statements").exists():
        return Dropped()
    try:
        opened = [open_statement(note, origin, keys) for note in read_notes(_read(folder / "statements"))]
    except NoteError as error:
        raise BundleError(f"a statement of what was dropped can't be trusted: {error}") from None
    return Dropped(run for statement in opened for run in statement.leaves)


def _read_keys(folder: Path, given: Sequence[str]) -> list[VerifierKey]:
    lines = given or [line for line in _read(folder / "keys").splitlines() if line.strip()]
    return _parse_keys(lines, parse_key)


def _parse_keys(lines: Sequence[str], parse: Callable[[str], VerifierKey]) -> list[VerifierKey]:
    try:
        return [parse(line) for line in lines]
    except NoteError as error:
        raise BundleError(str(error)) from None


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(folder / "manifest.json"))
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("format") != 1:
        raise BundleError("manifest.json is not one that this verifier knows")
    return manifest


def _open(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    try:
        return open_checkpoint(note, keys)
    except NoteError as error:
        raise BundleError(f"the checkpoint can't be trusted: {error}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path.name} can't be read: {error}") from None


def _open_file(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise BundleError(f"{path.name} can't be read: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
