"""Server-sent events come out as they went in, wherever the network cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import IntegrationAnswerError
from gateway.mcp.sse import MAX_EVENT_BYTES, Event, EventReader


def read(stream: bytes, *cuts: int) -> list[Event]:
    reader, events, start = EventReader(), [], 0
    for end in (*sorted(cuts), len(stream)):
        events += reader.feed(stream[start:end])
        start = end
    return events


STREAM = (
    b'\xef\xbb\xbf: ping\r\n\r\nevent: message\r\nid: 7\r\ndata: {"a":1}\r\n\r\n'
    b"data: one\ndata: two\n\nretry: 500\rdata\r\rid: bad\0id\nevent:x\n\ndata: unfinished"
)
EVENTS = [
    Event(),
    Event(data=b'{"a":1}', event=b"message", id=b"7"),
    Event(data=b"one\ntwo"),
    Event(data=b"", retry=b"500"),
    Event(event=b"x"),
]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_read_stream_cut_anywhere_gives_the_same_events(cuts: list[int]) -> None:
    assert read(STREAM, *cuts) == EVENTS


@pytest.mark.parametrize("event", EVENTS)
def test_encode_event_can_be_read_again(event: Event) -> None:
    again = read(event.encode())
    assert again == ([event] if (event.data, event.id, event.retry) != (None, None, None) else [Event()])


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 65536 + b"\n", b"x" * 65536])
def test_read_endless_event_is_refused(chunk: bytes) -> None:
    reader = EventReader()
    for _ in range(MAX_EVENT_BYTES // 65536 - 1):
        reader.feed(chunk)
    with pytest.raises(IntegrationAnswerError, match="event of more than"):
        reader.feed(chunk * 2)
