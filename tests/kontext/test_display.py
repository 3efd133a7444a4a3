"""What an operator sees of `manage.py up`, without starting anything."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from kontext.display import Announcement, JsonDisplay, SignIn, TerminalDisplay
from kontext.supervisor.events import Event, Happening

SETUP = "http://127.0.0.1:8000/setup/" + "x" * 120 + "/"
ANNOUNCEMENT = Announcement("http://127.0.0.1:8000", "http://127.0.0.1:8001", "/srv/[data]", SETUP)


def show(*events: Event, announcement: Announcement | None = None, terminal: bool = False) -> str:
    output = io.StringIO()
    with TerminalDisplay(Console(file=output, force_terminal=terminal, width=80)) as display:
        display.expect(2)
        for event in events:
            display.tell(event)
        if announcement is not None:
            display.announce(announcement)
    return output.getvalue()


def test_display_where_nobody_watches_is_plain_lines() -> None:
    shown = show(
        Event(Happening.STARTING, "web", "Web"),
        Event(Happening.READY, "web", "Web", seconds=1.24, detail="http://127.0.0.1:8000"),
        Event(Happening.DIED, "web", "Web", detail="killed by SIGKILL"),
    )
    assert shown.splitlines() == [
        "✓ Web                            1.2 s  http://127.0.0.1:8000",
        "✕ Web has ended: killed by SIGKILL",
    ]


def test_display_at_a_terminal_shows_progress_and_what_is_awaited() -> None:
    shown = show(Event(Happening.STARTING, "web", "Web"), Event(Happening.STARTING, "worker", "Worker"), terminal=True)
    assert "\x1b[" in shown
    assert "0/2" in shown


def test_announcement_shows_the_whole_link_in_one_line() -> None:
    shown = show(announcement=ANNOUNCEMENT)
    assert SETUP in shown
    assert "/srv/[data]" in shown


def test_announcement_of_the_demo_names_who_can_sign_in() -> None:
    people = (SignIn("Acme Corp", "Alice Nguyen", "alice@acme.example", "Engineering"),)
    shown = show(announcement=Announcement("http://a", "http://b", "/srv", None, people))
    assert "alice@acme.example" in shown
    assert "First step" not in shown


@pytest.mark.parametrize("happening", list(Happening))
def test_json_display_writes_one_object_a_line(happening: Happening) -> None:
    output = io.StringIO()
    with JsonDisplay(output) as display:
        display.expect(1)
        display.tell(Event(happening, "web", "Web", pid=7, seconds=0.12345))
        display.announce(ANNOUNCEMENT)
    begin, told, up = [json.loads(line) for line in output.getvalue().splitlines()]
    assert begin == {"event": "begin", "steps": 1}
    assert told == {"event": str(happening), "name": "web", "pid": 7, "seconds": 0.123, "detail": ""}
    assert (up["event"], up["public_url"], up["setup_url"]) == ("up", "http://127.0.0.1:8000", SETUP)
