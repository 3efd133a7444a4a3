"""OCSF posted to an address, one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings

from orgs.outlets.base import Batch, post


@dataclass(frozen=True)
class HttpOutlet:
    url: str
    authorization: str = field(default="", repr=False)
    name: str = "http"

    def send(self, batch: Batch) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        if self.authorization:
            headers["Authorization"] = self.authorization
        post(self.url, batch.to_lines(), headers)


def from_settings() -> HttpOutlet | None:
    if not settings.EVENT_STREAM_URL:
        return None
    return HttpOutlet(settings.EVENT_STREAM_URL, settings.EVENT_STREAM_AUTHORIZATION)
