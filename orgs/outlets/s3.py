"""OCSF as objects in an S3-compatible bucket: one for each batch, named by its tree and its first and last leaf."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from orgs.object_store import Place, StoreError, read_place
from orgs.outlets.base import Batch, RefusedError, UnreachableError


@dataclass(frozen=True)
class S3Outlet:
    place: Place
    name: str = "s3"

    def send(self, batch: Batch) -> None:
        # Of equal length, so that they sort as the events do.
        name = f"{batch.log}/{batch.start:016}-{batch.last:016}.jsonl"
        try:
            self.place.put(name, batch.to_lines(), content_type="application/x-ndjson")
        except StoreError as error:
            raise (RefusedError if error.is_answer else UnreachableError)(str(error)) from None


def from_settings() -> S3Outlet | None:
    if not settings.EVENT_STREAM_S3:
        return None
    return S3Outlet(read_place(settings.EVENT_STREAM_S3, setting="KONTEXT_EVENT_STREAM_S3"))
