"""Elasticsearch's bulk API: OCSF, each event created under its own identifier, so that a repeated one adds nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from orgs.outlets.base import Batch, RefusedError, encode, post, read_answer

_ASKED = "filter_path=errors,items.*.status,items.*.error.type"
_IS_THERE_ALREADY = 409


@dataclass(frozen=True)
class ElasticOutlet:
    """`index` may be a data stream: events are created, never changed."""

    url: str
    index: str = "kontext-audit"
    api_key: str = field(default="", repr=False)
    name: str = "elastic"

    def send(self, batch: Batch) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        if self.api_key:
            headers["Authorization"] = f"ApiKey {self.api_key}"
        body = b"".join(encode(line) + b"\n" for line in self._make_lines(batch))
        answer = read_answer(post(f"{self.url.rstrip('/')}/_bulk?{_ASKED}", body, headers))
        if answer.get("errors") is not False:
            _check_items(answer.get("items"), batch)

    def _make_lines(self, batch: Batch) -> Iterator[dict[str, Any]]:
        for event in batch.to_ocsf():
            yield {"create": {"_index": self.index, "_id": event["metadata"]["uid"]}}
            moment = dt.datetime.fromtimestamp(event["time"] / 1000, dt.UTC)
            yield {"@timestamp": moment.isoformat(timespec="milliseconds"), **event}


def from_settings() -> ElasticOutlet | None:
    if not settings.EVENT_STREAM_ELASTIC:
        return None
    return ElasticOutlet(
        settings.EVENT_STREAM_ELASTIC, settings.EVENT_STREAM_ELASTIC_INDEX, settings.EVENT_STREAM_ELASTIC_API_KEY
    )


def _check_items(items: Any, batch: Batch) -> None:
    """A bulk request that succeeds says of each event whether that did. Raises RefusedError unless all are there."""
    if not isinstance(items, list) or len(items) != len(batch.events):
        raise RefusedError("its answer does not say of every event whether it was taken")
    for event, item in zip(batch.events, items, strict=True):
        result = item.get("create") if isinstance(item, dict) else None
        status = result.get("status") if isinstance(result, dict) else None
        if status != _IS_THERE_ALREADY and not (isinstance(status, int) and 200 <= status < 300):
            raise RefusedError(f"it did not take event {event.pk}: {_read_reason(result)} (HTTP {status!r:.10})")


def _read_reason(result: Any) -> str:
    error = result.get("error") if isinstance(result, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    return str(kind or "no reason given")[:80]
