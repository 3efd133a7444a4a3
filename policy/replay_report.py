"""What a replay found, as lines, as JSON, and while it goes on."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from policy.replay import Flip, Replay, Tally

_MOST_LINES = 500


class ReplayProgress:
    """A bar on a terminal; nothing elsewhere, so that logs stay readable."""

    def __init__(self, stream: TextIO) -> None:
        columns = (
            TextColumn("replaying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        console = Console(file=stream)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("replaying", total=None)

    def __enter__(self) -> ReplayProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)


def write_text(found: Replay) -> str:
    """Return a line for each person, application and capability whose calls would be decided otherwise, and the sum."""
    lines = [_write_line(flip, tally) for flip, tally in found.sorted_flips[:_MOST_LINES]]
    lines += [_write_line(flip, tally) for flip, tally in found.sorted_untold[:_MOST_LINES]]
    left_out = max(0, len(found.flips) - _MOST_LINES) + max(0, len(found.untold) - _MOST_LINES)
    if left_out:
        lines.append(f"… and {left_out} more lines: --json has them all")
    return "\n".join([*lines, summarize(found)])


def write_json(found: Replay) -> str:
    document = {
        "total": found.total,
        "same": found.same,
        "flipped": found.flipped,
        "untold": found.open,
        "undecided": found.undecided,
        "flips": [_describe(flip, tally) for flip, tally in found.sorted_flips],
        "open": [_describe(flip, tally) for flip, tally in found.sorted_untold],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def summarize(found: Replay) -> str:
    text = (
        f"{found.total:,} calls: {found.same:,} as before, {found.flipped:,} would flip, {found.open:,} can't be told"
    )
    if found.open:
        text += " (it depends on arguments, of which the audit trail keeps a digest alone)"
    return f"{text}, {found.undecided:,} never came before a rule" if found.undecided else text


def _write_line(flip: Flip, tally: Tally) -> str:
    who = f"{flip.application_name} for {flip.user_name}" if flip.user_id else f"{flip.application_name} on its own"
    return f"{flip.was} → {flip.becomes or '?'}  {tally.count:,} times  {flip.target}  {who}  (last: {tally.event})"


def _describe(flip: Flip, tally: Tally) -> dict[str, Any]:
    return {
        "user": {"id": flip.user_id, "name": flip.user_name} if flip.user_id else None,
        "application": {"id": flip.application_id, "name": flip.application_name},
        "capability": flip.target,
        "was": flip.was,
        **({"becomes": flip.becomes} if flip.becomes else {}),
        "count": tally.count,
        "lastEvent": tally.event,
    }
