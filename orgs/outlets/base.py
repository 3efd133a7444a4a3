"""What an outlet is: something that takes a batch of events, whole, or says why not.

An outlet keeps nothing: orgs.services.stream_events decides what is sent when, and remembers how far each one is. It is
given the events of one tree in their order, and never the next ones before it has taken those. After a crash, or a
failure that came late, it is given some again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from audit.models import AuditEvent
from audit.ocsf import to_ocsf
from orgs.outbound import OutboundError, OutboundResponse, send


class OutletError(Exception):
    """The batch did not arrive, or nobody said that it did. The text is for operators, and holds no secret."""


class RefusedError(OutletError):
    """The destination answered, and did not take all of it: another tree's events may fare better."""


class UnreachableError(OutletError):
    """Nobody answered: there is no use in trying another tree now."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that follow one another in a tree. `log` is its organization's identifier, or `installation`."""

    log: str
    start: int
    events: Sequence[AuditEvent]

    @property
    def last(self) -> int:
        return self.start + len(self.events) - 1

    def to_ocsf(self) -> list[dict[str, Any]]:
        """Return the events as OCSF, each with its place in the tree as `metadata.sequence`."""
        return [to_ocsf(event, sequence=index) for index, event in enumerate(self.events, self.start)]

    def to_lines(self) -> bytes:
        return b"".join(encode(event) + b"\n" for event in self.to_ocsf())


class Outlet(Protocol):
    @property
    def name(self) -> str:
        """Return what its position is kept under."""

    def send(self, batch: Batch) -> None:
        """Return once the destination has all of the batch, within some seconds. Raises OutletError."""


def encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def post(url: str, body: bytes, headers: Mapping[str, str]) -> OutboundResponse:
    """Return the destination's answer if it is a 2xx. Raises OutletError."""
    try:
        response = send("POST", url, headers=headers, body=body)
    except OutboundError as error:
        raise UnreachableError(str(error)) from None
    if not 200 <= response.status < 300:
        raise RefusedError(f"it answered HTTP {response.status}")
    return response


def read_answer(response: OutboundResponse) -> dict[str, Any]:
    """Return the JSON object in an answer. Raises RefusedError where there is none: then nobody said that it has it."""
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RefusedError(f"it answered HTTP {response.status} without saying what it took")
    return document
