from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from audit.models import AuditEvent
from audit.verifier import PAYLOADS
from orgs.errors import OrgsError
from orgs.payloads import has_payload, open_payload

_BATCH = 500


def export_payloads(folder: Path) -> int:
    """Add what was kept of the content of calls to a bundle that audit.export wrote. Returns of how many events.

    A line has the event's identifier, the JSON as text and, as `key`, what its digest in the event was made with, so
    that the bundle's verifier can check it. What was erased is left out.
    """
    count = 0
    with (folder / "events.jsonl").open(encoding="utf-8") as events, (folder / PAYLOADS).open("w") as payloads:
        for line in _read_payloads(_read_keys(events)):
            payloads.write(json.dumps(line) + "\n")
            count += 1
    return count


def _read_keys(lines: Iterable[str]) -> Iterator[UUID]:
    for line in lines:
        event = json.loads(line).get("event")
        if event is not None:
            yield UUID(event[0])


def _read_payloads(keys: Iterator[UUID]) -> Iterator[dict[str, Any]]:
    while batch := list(islice(keys, _BATCH)):
        events = AuditEvent.objects.in_bulk(batch)
        for key in batch:
            event = events.get(key)
            if event is None or not has_payload(event):
                continue
            try:
                opened = open_payload(event)
            except OrgsError:
                continue  # erased, or gone: the event still says that there was something
            yield {"event": str(key), "key": opened.salt.hex(), "payload": opened.text.decode()}
