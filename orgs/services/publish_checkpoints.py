"""Give checkpoints away, so that what they bind can't be taken back: to files, and to a webhook."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.models import Tree
from audit.proofs import get_newest_checkpoint
from orgs.outbound import OutboundError, send
from orgs.services.checkpoint_keys import get_verifier_keys

logger = logging.getLogger(__name__)


def publish_checkpoints() -> int:
    """Append the newest checkpoint of every tree that grew to its file. Returns of how many.

    A crash in between writes a checkpoint twice, which says nothing new and harms nothing.
    """
    grown = [tree.pk for tree in Tree.objects.all() if tree.size > tree.published_size]
    for key in grown:
        with transaction.atomic():
            tree = Tree.objects.select_for_update().get(pk=key)
            checkpoint = get_newest_checkpoint(tree)
            if checkpoint is None or checkpoint.size <= tree.published_size:
                continue
            _append_keys(tree)
            _append(get_checkpoint_file(tree), checkpoint.note)
            tree.published_size, tree.published_at = checkpoint.size, timezone.now()
            tree.save(update_fields=["published_size", "published_at"])
    return len(grown)


def deliver_checkpoints() -> int:
    """Send the newest checkpoint of every tree that grew to the webhook, if there is one. Returns how many arrived.

    What could not be delivered is the next time; only the newest counts, since it binds all before it.
    """
    if not settings.CHECKPOINT_WEBHOOK:
        return 0
    return sum(_deliver(tree) for tree in Tree.objects.all() if tree.size > tree.delivered_size)


def get_checkpoint_file(tree: Tree) -> Path:
    """Return the file with this tree's checkpoints, one signed note after the other, the newest last."""
    return Path(settings.CHECKPOINT_DIR) / f"{tree.organization_id or 'installation'}.checkpoints"


def get_keys_file(tree: Tree) -> Path:
    """Return the file with the keys that verify them, one a line."""
    return get_checkpoint_file(tree).with_suffix(".keys")


def _append_keys(tree: Tree) -> None:
    path = get_keys_file(tree)
    known = path.read_text().splitlines() if path.exists() else []
    new = [str(key) for key in get_verifier_keys(tree.origin) if str(key) not in known]
    if new:
        _append(path, "".join(f"{key}\n" for key in new))


def _append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _deliver(tree: Tree) -> bool:
    checkpoint = get_newest_checkpoint(tree)
    if checkpoint is None:
        return False
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    try:
        response = send("POST", settings.CHECKPOINT_WEBHOOK, headers=headers, body=checkpoint.note.encode())
    except OutboundError as error:
        logger.warning("the checkpoint of %s could not be delivered: %s", tree.origin, error)
        return False
    if not 200 <= response.status < 300:
        logger.warning("the checkpoint of %s was refused with HTTP %d", tree.origin, response.status)
        return False
    Tree.objects.filter(pk=tree.pk, delivered_size__lt=checkpoint.size).update(delivered_size=checkpoint.size)
    return True
