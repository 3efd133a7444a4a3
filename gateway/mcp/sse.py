"""Server-sent events (WHATWG HTML §9.2), read as they arrive and written anew.

Written anew, never copied: a client then sees the same boundaries between events as we did when we judged them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import IntegrationAnswerError

MAX_EVENT_BYTES = 4 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Event:
    """One event. `data` is None for a comment, which keeps a connection open and says nothing."""

    data: bytes | None = None
    event: bytes = b""
    id: bytes | None = None
    retry: bytes | None = None

    def encode(self) -> bytes:
        if self.data is None and self.id is None and self.retry is None:
            return b": ping\n\n"
        lines = [b"event: " + self.event] if self.event else []
        if self.id is not None:
            lines.append(b"id: " + self.id)
        if self.retry is not None:
            lines.append(b"retry: " + self.retry)
        if self.data is not None:
            lines += [b"data: " + line for line in self.data.split(b"\n")]
        return b"\n".join(lines) + b"\n\n"


class EventReader:
    """Takes chunks as they come and returns the events that they complete."""

    def __init__(self) -> None:
        self._partial = b""
        self._after_return = False
        self._is_first = True
        self._event = Event()
        self._data: list[bytes] = []
        self._size = 0
        self._is_empty = True

    def feed(self, chunk: bytes) -> list[Event]:
        if not chunk:
            return []
        if self._after_return:  # a line end that fell between two chunks
            chunk = chunk.removeprefix(b"\n")
        self._after_return = chunk.endswith(b"\r")
        lines = (self._partial + chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).split(b"\n")
        self._partial = lines.pop()
        self._check_size(len(self._partial))
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> Event | None:
        if self._is_first:
            line, self._is_first = line.removeprefix(_BYTE_ORDER_MARK), False
        if not line:
            return self._dispatch()
        self._is_empty = False
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value)
            self._check_size(0)
            self._data.append(value)
        elif name == b"event":
            self._event.event = value
        elif name == b"id" and b"\0" not in value:
            self._event.id = value
        elif name == b"retry" and value.isdigit():
            self._event.retry = value
        return None

    def _dispatch(self) -> Event | None:
        if self._is_empty:
            return None
        event = self._event
        if self._data:
            event.data = b"\n".join(self._data)
        self._event, self._data, self._size, self._is_empty = Event(), [], 0, True
        return event

    def _check_size(self, pending: int) -> None:
        if self._size + pending > MAX_EVENT_BYTES:
            raise IntegrationAnswerError(f"the integration sent an event of more than {MAX_EVENT_BYTES} bytes")
