"""How `manage.py up` shows what happens: to a person at a terminal, to a log, to a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from kontext.supervisor.events import Event, Happening


@dataclass(frozen=True)
class SignIn:
    """Somebody of the demo, who signs in at their organization's provider without a password."""

    organization: str
    name: str
    email: str
    about: str


@dataclass(frozen=True)
class Announcement:
    """What the operator wants to know once everything answers. `setup_url` is for whoever reads it: it makes them
    administrator, once."""

    public_url: str
    gateway_url: str
    data_dir: str
    setup_url: str | None
    sign_ins: Sequence[SignIn] = ()


class Display(Protocol):
    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def expect(self, steps: int) -> None:
        """Say how many things will be started or done before everything is up."""
        ...

    def tell(self, event: Event) -> None: ...

    def announce(self, announcement: Announcement) -> None: ...

    def say(self, text: str) -> None: ...


class JsonDisplay:
    """One JSON object a line; `event` says what it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> JsonDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def expect(self, steps: int) -> None:
        self._write("begin", steps=steps)

    def tell(self, event: Event) -> None:
        facts = {"name": event.name, "pid": event.pid, "seconds": round(event.seconds, 3), "detail": event.detail}
        self._write(event.happening, **facts)

    def announce(self, announcement: Announcement) -> None:
        self._write("up", **asdict(announcement))

    def say(self, text: str) -> None:
        self._write("note", text=text)

    def _write(self, event: str, **facts: object) -> None:
        print(json.dumps({"event": str(event), **facts}), file=self._stream, flush=True)


class TerminalDisplay:
    """A progress bar while things start, then one line for whatever happens. Plain lines where nobody watches."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = _make_progress(console)
        self._bar = self._progress.add_task("Starting", total=None)
        self._is_up = False
        self._starting: dict[str, str] = {}  # label by name, of what has not answered yet

    def __enter__(self) -> TerminalDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def expect(self, steps: int) -> None:
        self._progress.update(self._bar, total=steps)

    def tell(self, event: Event) -> None:
        if event.happening is Happening.STARTING:
            self._starting[event.name] = event.label
        elif line := self._describe(event):
            self._print(line)
        if event.happening in (Happening.READY, Happening.DONE):
            self._starting.pop(event.name, None)
            self._progress.advance(self._bar)
        self._progress.update(self._bar, description=escape(next(iter(self._starting.values()), "Starting")))

    def _describe(self, event: Event) -> str:
        label, detail = escape(event.label), escape(event.detail)
        match event.happening:
            case Happening.READY if self._is_up:
                return f"[green]✓[/] {label} is back after {event.seconds:.1f} s (process {event.pid})"
            case Happening.READY | Happening.DONE:
                return f"[green]✓[/] {label:<28} {event.seconds:>5.1f} s  [dim]{detail}[/]"
            case Happening.DIED:
                return f"[red]✕[/] {label} has ended: {detail}"
            case Happening.FAILED:
                return f"[red]✕[/] {label} can't be started: {detail}"
            case Happening.STOPPED:
                return f"[dim]·[/] {label:<28} stopped"
            case _:
                return ""

    def announce(self, announcement: Announcement) -> None:
        self._progress.stop()
        self._is_up = True
        lines = ["", *_addresses(announcement)]
        if announcement.setup_url:
            lines.append("            [dim]makes you the first administrator: works once, within a day[/]")
        if announcement.sign_ins:
            lines += ["", "Sign in with an e-mail address of the demo; its provider asks for no password:"]
            lines += _people(announcement.sign_ins)
        self._print(*lines, "", "[dim]Ctrl-C stops everything.[/]")

    def say(self, text: str) -> None:
        self._print(escape(text))

    def _print(self, *lines: str) -> None:
        for line in lines:
            # Neither cut nor wrapped: addresses are there to be copied.
            self._console.print(line, soft_wrap=True, highlight=False)


def _make_progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Where nobody watches, a progress bar would only leave its last state in the log.
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _addresses(announcement: Announcement) -> list[str]:
    rows = {
        "Portal": f"[bold]{announcement.public_url}/[/]",
        "Admin": f"{announcement.public_url}/admin/",
        "Gateway": f"{announcement.gateway_url}/mcp/<integration>",
        "Data": escape(announcement.data_dir),
    }
    if announcement.setup_url:
        rows["First step"] = f"[bold]{announcement.setup_url}[/]"
    return [f"{name:<12}{value}" for name, value in rows.items()]


def _people(sign_ins: Sequence[SignIn]) -> list[str]:
    rows = [(person.email, person.name, person.organization, person.about) for person in sign_ins]
    return [escape(f"  {email:<26}{name:<16}{organization:<12}{about}") for email, name, organization, about in rows]
