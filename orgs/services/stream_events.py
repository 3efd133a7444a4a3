"""Send the audit trail to where others collect events: as OCSF, in the order of each tree, at least once."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction

from audit.models import AuditEvent, Leaf, Tree
from audit.ocsf import to_ocsf
from orgs.outbound import OutboundError, send

logger = logging.getLogger(__name__)

MOST_EVENTS = 500


def stream_events(*, seconds: float) -> int:
    """Send what is sealed and not sent yet, for about so long. Returns how many events arrived.

    How far each tree came is written down after a batch has arrived: a crash in between sends the batch again. A
    destination that refuses holds its trees up, and nothing is passed over.
    """
    if not settings.EVENT_STREAM_FILE and not settings.EVENT_STREAM_URL:
        return 0
    ends, count = time.monotonic() + seconds, 0
    for key in [tree.pk for tree in Tree.objects.order_by("pk") if tree.size > tree.streamed_size]:
        while time.monotonic() < ends:
            sent = _send_batch(key)
            count += sent
            if sent < MOST_EVENTS:
                break
    return count


def _send_batch(key: UUID) -> int:
    tree = Tree.objects.get(pk=key)
    start = tree.streamed_size
    events = _read_events(tree, start)
    if not events or not _deliver(_encode(events)):
        return 0
    with transaction.atomic():
        # Of two that sent the same batch one moves on; the other finds it moved.
        Tree.objects.filter(pk=key, streamed_size=start).update(streamed_size=start + len(events))
    return len(events)


def _read_events(tree: Tree, start: int) -> list[AuditEvent]:
    leaves = Leaf.objects.filter(tree=tree, index__gte=start, index__lt=start + MOST_EVENTS).order_by("index")
    keys = list(leaves.values_list("event_id", flat=True))
    found = AuditEvent.objects.in_bulk(keys)
    missing = [key for key in keys if key not in found]
    if missing:
        logger.error(
            "event %s is sealed and gone: see manage.py audit verify; nothing after it is streamed", missing[0]
        )
        return [found[key] for key in keys[: keys.index(missing[0])]]
    return [found[key] for key in keys]


def _encode(events: Sequence[AuditEvent]) -> bytes:
    return b"".join(json.dumps(to_ocsf(event), ensure_ascii=False).encode() + b"\n" for event in events)


def _deliver(lines: bytes) -> bool:
    """Give the batch to each destination. One that took it may get it again because the other did not."""
    return _post(lines) and _append(lines)


def _post(lines: bytes) -> bool:
    if not settings.EVENT_STREAM_URL:
        return True
    headers = {"Content-Type": "application/x-ndjson"}
    if settings.EVENT_STREAM_AUTHORIZATION:
        headers["Authorization"] = settings.EVENT_STREAM_AUTHORIZATION
    try:
        response = send("POST", settings.EVENT_STREAM_URL, headers=headers, body=lines)
    except OutboundError as error:
        logger.warning("audit events could not be streamed: %s", error)
        return False
    if not 200 <= response.status < 300:
        logger.warning("streamed audit events were refused with HTTP %d", response.status)
        return False
    return True


def _append(lines: bytes) -> bool:
    if not settings.EVENT_STREAM_FILE:
        return True
    path = Path(settings.EVENT_STREAM_FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        logger.warning("audit events could not be written to %s: %s", path, error.strerror)
        return False
    return True
