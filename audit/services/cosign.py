"""Sign another log's checkpoint as its witness: only what continues the one that was signed last, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import transaction

from audit.models import WitnessedLog
from audit.notes import VerifierKey, keep_signatures
from audit.witness import Submission, UnknownLogError, check_growth, open_submission

# Returns a witness's signature lines for the text of a checkpoint.
Cosign = Callable[[str], str]


def cosign_checkpoint(submission: Submission, *, keys: Sequence[VerifierKey], cosign: Cosign) -> str:
    """Return the signature lines for a submitted checkpoint; they are durable before anybody sees them.

    `keys` are those that the operator trusts for its origin. Raises WitnessError. One log's submissions wait for each
    other: between the look at what was signed last and the note of what is signed now nobody else can sign.
    """
    if not keys:
        raise UnknownLogError("this witness does not know this log")
    text, checkpoint = open_submission(submission, keys)
    with transaction.atomic():
        WitnessedLog.objects.get_or_create(origin=checkpoint.origin)
        log = WitnessedLog.objects.select_for_update().get(origin=checkpoint.origin)
        check_growth(submission, checkpoint, size=log.size, root=bytes(log.root))
        lines = cosign(text)
        log.size, log.root = checkpoint.size, checkpoint.root
        log.note = keep_signatures(submission.note, keys) + lines
        log.save(update_fields=["size", "root", "note", "cosigned_at"])
    return lines
