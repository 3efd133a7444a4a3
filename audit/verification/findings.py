"""What verification can find. Pure: worker processes need no Django."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    EDIT = "edit"
    DELETE = "delete"
    INSERT = "insert"
    REORDER = "reorder"
    TRUNCATE = "truncate-tail"
    REWRITE = "rewrite"


@dataclass(frozen=True)
class Tampering:
    """`index` is the first leaf concerned; `event_id` is None where not even its identifier is left."""

    kind: Kind
    index: int
    text: str
    event_id: UUID | None = None
    is_guess: bool = False  # no change was found that explains it: `kind` says what is likeliest

    def __str__(self) -> str:
        event = f", event {self.event_id}" if self.event_id is not None else ""
        return f"{self.kind} at leaf {self.index}{event}: {self.text}"


@dataclass
class Report:
    """What verification of one tree came to. `pending` events are too new to be sealed.

    `dropped` is how many of the leaves have no event any more, as signed statements of retention say."""

    origin: str
    size: int
    verified: int = 0
    events: int = 0
    pending: int = 0
    published: int = 0
    dropped: int = 0
    statements: int = 0
    findings: list[Tampering] = field(default_factory=list)

    @property
    def first(self) -> Tampering | None:
        """Return the finding about the earliest leaf."""
        return min(self.findings, key=lambda finding: finding.index, default=None)


def make_double(index: int, event_id: UUID) -> Tampering:
    text = "there is a second event, in another month, with the identifier of this one: it was put in afterwards"
    return Tampering(Kind.INSERT, index, text, event_id)
