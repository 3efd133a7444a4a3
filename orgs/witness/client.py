"""Another log's operator as our witness: the newest checkpoint of each tree is sent there and comes back cosigned.

A witness is an outlet of checkpoints. Its position is the size that it has signed last, which is what it must be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit.models import Checkpoint, Cosignature, Tree
from audit.notes import NoteError, VerifierKey, parse_witness_key, read_cosignatures
from audit.proofs import prove_growth
from audit.witness import Submission
from orgs.outbound import OutboundError, OutboundResponse, send
from orgs.outlets.base import RefusedError, UnreachableError

_WRONG = "KONTEXT_WITNESSES must read <address> <key>, and a comma before the next one"


@dataclass(frozen=True)
class WitnessOutlet:
    """`url` is the submission prefix."""

    url: str
    key: VerifierKey

    @property
    def name(self) -> str:
        return f"witness {self.key.id.hex()}"

    def give(self, tree: Tree, checkpoint: Checkpoint, known: int) -> None:
        """Have the checkpoint cosigned, and keep the cosignature. `known` is what the witness signed last, we think."""
        response = self._submit(tree, checkpoint, known)
        if response.status == 409:
            signed = _read_size(response)
            if signed > checkpoint.size:
                text = f"{self.key.name} has signed {signed} events, and here are {checkpoint.size}"
                raise RefusedError(f"{text}: was the database put back to an older state?")
            response = self._submit(tree, checkpoint, signed)
        if response.status == 422:
            raise RefusedError(f"{self.key.name} has signed another history of this log: see manage.py audit verify")
        if response.status != 200:
            raise RefusedError(f"{self.key.name} answered HTTP {response.status}")
        line = self._read_line(checkpoint, response)
        Cosignature.objects.get_or_create(checkpoint=checkpoint, witness=self.key.name, defaults={"line": line})

    def _submit(self, tree: Tree, checkpoint: Checkpoint, old: int) -> OutboundResponse:
        proof = prove_growth(tree, old=old, new=checkpoint.size).hashes
        submission = Submission(old, proof, checkpoint.note)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        try:
            return send("POST", f"{self.url}/add-checkpoint", headers=headers, body=submission.encode())
        except OutboundError as error:
            raise UnreachableError(str(error)) from None

    def _read_line(self, checkpoint: Checkpoint, response: OutboundResponse) -> str:
        """Return this witness's own line. Those of keys that we don't know are ignored."""
        for line in response.body.decode(errors="replace").splitlines(keepends=True):
            try:
                if read_cosignatures(checkpoint.note + line, [self.key]):
                    return line
            except NoteError as error:
                raise RefusedError(str(error)) from None
        raise RefusedError(f"{self.key.name} answered without its cosignature")


def read_witnesses() -> Sequence[WitnessOutlet]:
    """Return the witnesses that the settings name. Raises ImproperlyConfigured."""
    found = []
    for entry in settings.WITNESSES.split(","):
        if not entry.strip():
            continue
        url, _, key = entry.strip().partition(" ")
        try:
            found.append(WitnessOutlet(url.rstrip("/"), parse_witness_key(key)))
        except NoteError as error:
            raise ImproperlyConfigured(f"{_WRONG}: {error}") from None
    return found


def _read_size(response: OutboundResponse) -> int:
    text = response.body.decode(errors="replace").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise RefusedError("it answered HTTP 409 without the size that it has signed")
    return int(text)
