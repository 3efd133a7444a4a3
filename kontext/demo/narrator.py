"""Tells what happens in the demo: to a person at a terminal, or to a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TextIO
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from audit.models import AuditEvent
from orgs.ui.layer_bar import LayerBar, read_layer_bar

_TONES = {"allow": "green", "ask": "yellow", "deny": "red", "silent": "dim"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the story. `outcome` is allowed, refused or done; `why` is one sentence.

    `decision` is an explanation as policy.engine gives it, made for `person`; `facts` what else can be seen.
    """

    who: str
    what: str
    outcome: str
    why: str
    is_as_expected: bool
    decision: Mapping[str, Any] | None = None
    person: str = "You"
    facts: tuple[str, ...] = ()
    event: AuditEvent | None = field(default=None, repr=False)


class Narrator(Protocol):
    def note(self, text: str) -> None:
        """Tell of something that is no step: preparations."""
        ...

    def tell(self, step: Step) -> None: ...

    def list_trail(self, events: Sequence[AuditEvent]) -> None: ...

    def finish(self, *, steps: int, surprises: int) -> None: ...


class JsonNarrator:
    """One JSON object a line; `event` says what it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._number = 0

    def note(self, text: str) -> None:
        self._write("seed", text=text)

    def tell(self, step: Step) -> None:
        self._number += 1
        facts = {field.name: getattr(step, field.name) for field in fields(step) if field.name != "event"}
        identifiers = {"audit_event": str(step.event.pk), "request_id": step.event.request_id} if step.event else {}
        self._write("step", number=self._number, **facts, **identifiers)

    def list_trail(self, events: Sequence[AuditEvent]) -> None:
        for event in events:
            self._write(
                "audit", **dict(zip(("at", "type", "who", "what", "outcome", "id"), describe(event), strict=True))
            )

    def finish(self, *, steps: int, surprises: int) -> None:
        self._write("story", steps=steps, surprises=surprises)

    def _write(self, event: str, **facts: object) -> None:
        print(json.dumps({**facts, "event": event}), file=self._stream, flush=True)


class TerminalNarrator:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0

    def note(self, text: str) -> None:
        self._print(f"[dim]·  {escape(text)}[/]")

    def tell(self, step: Step) -> None:
        self._number += 1
        mark = "[green]✓[/]" if step.is_as_expected else "[red]✕ unexpected:[/]"
        self._print("", f"[bold]{self._number:>2}  {escape(step.who)} {escape(step.what)}[/]")
        if (bar := read_layer_bar(step.decision, person=step.person)) is not None:
            self._print(f"   {_draw(bar)}")
        self._print(f"    {mark} {step.outcome}: {escape(step.why)}")
        self._print(*(f"      [dim]{escape(fact)}[/]" for fact in step.facts))
        if step.event is not None:
            request = f"  request {escape(step.event.request_id)}" if step.event.request_id else ""
            self._print(f"      [dim]audit {step.event.pk}{request}[/]")

    def list_trail(self, events: Sequence[AuditEvent]) -> None:
        self._print("", "[bold]What the audit trail kept of it[/]")
        for event in events:
            at, kind, who, what, outcome, identifier = describe(event)
            self._print(escape(f"    {at}  {kind:<28} {who:<23} {what:<20} {outcome:<7} ") + f"[dim]{identifier}[/]")

    def finish(self, *, steps: int, surprises: int) -> None:
        if surprises:
            self._print("", f"[red]✕[/] {steps} steps, {surprises} of them not as they should be")
        else:
            self._print("", f"[green]✓[/] {steps} steps, each as it should be")

    def _print(self, *lines: str) -> None:
        for line in lines:
            self._console.print(line.rstrip(), soft_wrap=True, highlight=False)


def describe(event: AuditEvent) -> tuple[str, str, str, str, str, str]:
    """Return time, type, who, what, outcome and ID of an event, each in one line of text."""
    who = " for ".join(filter(None, (event.application_name, event.user_name))) or "Kontext"
    what = f"{event.integration}:{event.capability}" if event.capability else event.integration or _name(event)
    kind = f"{event.type}" if not event.phase else f"{event.type} {event.phase}"
    return f"{event.occurred_at:%H:%M:%S}", kind, who, what, event.outcome or "pending", str(event.pk)


def _name(event: AuditEvent) -> str:
    """Return what an event that is about no integration is about: the path that a token is for, somebody's name."""
    return urlsplit(str(event.details.get("resource", ""))).path or str(event.details.get("name", ""))


def _draw(bar: LayerBar) -> str:
    """Draw the layer bar; the layer that decided stands in brackets."""
    parts = []
    for part in bar.segments:
        words = escape(f"{part.name} {part.mark} {part.word}")
        framed = f"\\[{words}]" if part.is_deciding else f" {words} "
        parts.append(f"[{_TONES[part.tone]}]{framed}[/]")
    return " · ".join(parts)
