"""Where checkpoints are given besides the files and the webhook: a bucket, and witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from audit.models import Checkpoint, Tree
from orgs.object_store import Place, StoreError, read_place
from orgs.outlets.base import RefusedError, UnreachableError
from orgs.services.checkpoint_keys import get_verifier_keys
from orgs.witness.client import read_witnesses


class CheckpointOutlet(Protocol):
    @property
    def name(self) -> str:
        """Return what its position is kept under."""

    def give(self, tree: Tree, checkpoint: Checkpoint, known: int) -> None:
        """Return once the destination has it; `known` is the size of the last that it had. Raises OutletError."""


@dataclass(frozen=True)
class BucketOutlet:
    """An object for each checkpoint, named by its tree and its size, and the keys that verify them beside it."""

    place: Place
    name: str = "checkpoints-s3"

    def give(self, tree: Tree, checkpoint: Checkpoint, known: int) -> None:
        log = tree.organization_id or "installation"
        keys = "".join(f"{key}\n" for key in get_verifier_keys(tree.origin))
        try:
            self.place.put(f"{log}/keys", keys.encode(), content_type="text/plain; charset=utf-8")
            name = f"{log}/{checkpoint.size:016}.checkpoint"
            self.place.put(name, checkpoint.note.encode(), content_type="text/plain; charset=utf-8")
        except StoreError as error:
            raise (RefusedError if error.is_answer else UnreachableError)(str(error)) from None


def get_checkpoint_outlets() -> dict[str, CheckpointOutlet]:
    """Return them by name. Raises ImproperlyConfigured."""
    found: list[CheckpointOutlet] = list(read_witnesses())
    if settings.CHECKPOINT_S3:
        found.append(BucketOutlet(read_place(settings.CHECKPOINT_S3, setting="KONTEXT_CHECKPOINT_S3")))
    return {outlet.name: outlet for outlet in found}
