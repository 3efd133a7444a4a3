from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, but not as it should in production
    ERROR = "error"  # something does not work, or lets strangers in


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is the command, or the setting, that mends it; empty where nothing has to be done."""

    level: Level
    subject: str
    text: str
    fix: str = ""


Examination = Callable[[], Iterable[Finding]]


def ok(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str, fix: str) -> Finding:
    return Finding(Level.WARNING, subject, text, fix)


def error(subject: str, text: str, fix: str) -> Finding:
    return Finding(Level.ERROR, subject, text, fix)
