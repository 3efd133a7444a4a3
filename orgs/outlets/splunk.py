"""Splunk's HTTP Event Collector: OCSF, each event in an envelope with its time, index and source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from orgs.outlets.base import Batch, RefusedError, encode, post, read_answer


@dataclass(frozen=True)
class SplunkOutlet:
    """`url` is the collector's whole address, such as https://splunk.example:8088/services/collector/event."""

    url: str
    token: str = field(repr=False)
    index: str = ""
    host: str = "kontext"
    name: str = "splunk"

    def send(self, batch: Batch) -> None:
        body = b"\n".join(encode(self._wrap(event)) for event in batch.to_ocsf())
        headers = {"Content-Type": "application/json", "Authorization": f"Splunk {self.token}"}
        answer = read_answer(post(self.url, body, headers))
        if answer.get("code") != 0:
            raise RefusedError(f"it answered code {answer.get('code')!r:.20} instead of success")

    def _wrap(self, event: dict[str, Any]) -> dict[str, Any]:
        envelope = {"time": event["time"] / 1000, "host": self.host, "source": "kontext", "sourcetype": "_json"}
        return {**envelope, **({"index": self.index} if self.index else {}), "event": event}


def from_settings() -> SplunkOutlet | None:
    if not settings.EVENT_STREAM_SPLUNK:
        return None
    host = urlsplit(settings.PUBLIC_URL).hostname or "kontext"
    return SplunkOutlet(
        settings.EVENT_STREAM_SPLUNK, settings.EVENT_STREAM_SPLUNK_TOKEN, settings.EVENT_STREAM_SPLUNK_INDEX, host
    )
