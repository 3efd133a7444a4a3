"""Write what calls do into the audit log, durably, before they go on. Calls that come together share a commit.

One writer, one statement at a time: while it commits, the next batch gathers. The usual path has no task and no
time-out of its own, since wake-ups are what it would spend most on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.channel import Channel, ChannelError, Rows
from gateway.errors import UnavailableError

logger = logging.getLogger(__name__)

# From a batch's first event on. A killed PostgreSQL once left a writer without a deadline hanging for eight seconds.
FLUSH_SECONDS = 1.0
_RETRY_SECONDS = 0.05
_MOST_ROWS = 1_000
_MOST_ROWS_WITH_PAYLOADS = 100
# Beyond this, calls come faster than they can be written down: refusing some is better than keeping all waiting.
_MOST_WAITING = 20_000

_TYPES = {
    **dict.fromkeys(("id", "call", "organization_id", "user_id", "application_id"), "uuid"),
    **dict.fromkeys(("integration_id", "connection_id"), "uuid"),
    **dict.fromkeys(("type", "phase", "outcome", "user_name", "application_name", "integration", "capability"), "text"),
    **dict.fromkeys(("account", "session", "request_id", "trace_id", "arguments_digest"), "text"),
    **dict.fromkeys(("policy_version", "latency_us"), "bigint"),
    **dict.fromkeys(("decision", "details"), "jsonb"),
    "occurred_at": "double precision",
    "source_address": "inet",
}
# Names come from outside and may be longer than their columns; an event is worth more than the end of a name.
_WIDTHS = {
    **dict.fromkeys(("user_name", "application_name", "capability", "account"), 255),
    **dict.fromkeys(("type", "integration", "request_id", "arguments_digest"), 64),
    "session": 128,
    "trace_id": 32,
}


def _make_statement() -> str:
    values = {name: f'r."{name}"' for name in _TYPES}
    values |= {name: f"left({values[name]}, {width})" for name, width in _WIDTHS.items()}
    values |= {name: f"coalesce({values[name]}, '')" for name, type_ in _TYPES.items() if type_ == "text"}
    values["details"] = "coalesce(r.\"details\", '{}')"
    values["occurred_at"] = 'to_timestamp(r."occurred_at")'
    columns = ", ".join(f'"{name}"' for name in _TYPES)
    types = ", ".join(f'"{name}" {type_}' for name, type_ in _TYPES.items())
    return (
        f"INSERT INTO audit_auditevent ({columns}) SELECT {', '.join(values.values())} "  # noqa: S608 (names of our own)
        f"FROM json_to_recordset($1::json) AS r({types}) ON CONFLICT (call, phase) DO NOTHING"
    )


_INSERT = _make_statement()
# For batches in which a call's content is kept: both or neither.
_INSERT_WITH_PAYLOADS = f"""
    WITH events AS ({_INSERT})
    INSERT INTO audit_payload (call, phase, organization_id, key_id, sealed)
    SELECT call, phase, organization_id, key_id, decode(sealed, 'base64')
    FROM json_to_recordset($2::json) AS r(call uuid, phase text, organization_id uuid, key_id uuid, sealed text)
    ON CONFLICT (call, phase) DO NOTHING
"""  # noqa: S608 (names of our own)
# What `off` would call written could be lost with the machine. A server that outlives us ends what we gave up on.
_SETTINGS = f"""
    SELECT set_config('statement_timeout', '{int(FLUSH_SECONDS * 1000)}', false);
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""


@dataclass(slots=True)
class _Entry:
    row: bytes
    done: asyncio.Future[None]
    deadline: float
    payload: bytes | None = None


class AuditLog:
    """Writes what `encode_row` made. If it can't, the call that asked must not happen."""

    def __init__(self) -> None:
        self._waiting: deque[_Entry] = deque()
        self._channel: Channel | None = None
        self._is_flushing = False
        self._payloads_waiting = 0
        self._recovery: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Write what is waiting, then close."""
        give_up = self._loop.time() + FLUSH_SECONDS
        while self._is_flushing and self._loop.time() < give_up:
            await asyncio.sleep(0.01)
        if self._recovery is not None:
            self._recovery.cancel()
        if self._channel is not None:
            self._channel.close()

    async def write(self, row: bytes, payload: bytes | None = None) -> None:
        """Return once the event is durable. Raises UnavailableError, within about a second, if it isn't by then.

        `call` and `phase` together are written once, however often a write is repeated. The event may be in the log
        after an error or a cancellation all the same: the answer can get lost. `payload` is a row of audit.Payload as
        JSON, durable together with the event.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise UnavailableError("the audit log can't keep up with the calls")
        # PostgreSQL has no NUL in text. Both escapes are six bytes of valid JSON wherever they stand.
        row = row.replace(b"\\u0000", b"\\ufffd")
        entry = _Entry(row, self._loop.create_future(), self._loop.time() + FLUSH_SECONDS, payload)
        if payload is not None:
            self._payloads_waiting += 1
        self._waiting.append(entry)
        if not self._is_flushing:
            self._is_flushing = True
            # Not at once: what else this turn of the loop has to write goes along.
            self._loop.call_soon(self._flush)
        await entry.done

    def _flush(self) -> None:
        most = _MOST_ROWS if not self._payloads_waiting else _MOST_ROWS_WITH_PAYLOADS
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]
        if self._payloads_waiting:
            self._payloads_waiting -= sum(entry.payload is not None for entry in batch)
        if not batch:
            self._is_flushing = False
        elif self._channel is None or not self._channel.is_open:
            self._recover(batch)
        else:
            timer = self._loop.call_at(batch[0].deadline, self._channel.close)
            written = _insert(self._channel, batch)
            written.add_done_callback(lambda written: self._finish(batch, timer, written))

    def _finish(self, batch: Sequence[_Entry], timer: asyncio.TimerHandle, written: asyncio.Future[Rows]) -> None:
        timer.cancel()
        if written.cancelled() or written.exception() is not None:
            self._recover(batch)
            return
        _settle(batch, None)
        self._flush()

    def _recover(self, batch: Sequence[_Entry]) -> None:
        self._recovery = self._loop.create_task(self._write_with_patience(batch))
        self._recovery.add_done_callback(lambda task: None if task.cancelled() else self._flush())

    async def _write_with_patience(self, batch: Sequence[_Entry]) -> None:
        """Try until the batch's deadline, with new connections; writing twice adds nothing."""
        deadline = max(batch[0].deadline, self._loop.time() + _RETRY_SECONDS)
        error: Exception | None = None
        while self._loop.time() < deadline:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._write_anew(batch)
                return
            except (ChannelError, TimeoutError) as failure:
                error = failure
                self._drop_channel()
            await asyncio.sleep(_RETRY_SECONDS)
        logger.error("the audit log can't be written, %d calls are refused: %s", len(batch), error or "no answer")
        _settle(batch, "the audit log can't be written at present, so nothing was done")

    async def _write_anew(self, batch: Sequence[_Entry]) -> None:
        channel = self._channel if self._channel is not None and self._channel.is_open else await self._connect()
        try:
            await _insert(channel, batch)
            _settle(batch, None)
        except ChannelError as error:
            if not _is_about_values(error):
                raise
            # One event that PostgreSQL refuses must not take the others with it.
            for entry in batch:
                await _write_alone(channel, entry)

    async def _connect(self) -> Channel:
        self._drop_channel()
        channel = await Channel.open("audit log")
        try:
            await channel.query(_SETTINGS)
            await channel.prepare("insert", _INSERT)
            await channel.prepare("insert with payloads", _INSERT_WITH_PAYLOADS)
        except BaseException:
            channel.close()
            raise
        self._channel = channel
        return channel

    def _drop_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None


async def _write_alone(channel: Channel, entry: _Entry) -> None:
    try:
        await _insert(channel, [entry])
        _settle([entry], None)
    except ChannelError as error:
        if not _is_about_values(error):
            raise
        logger.error("an audit event was refused by the database: %s", error)
        _settle([entry], "this call can't be written to the audit log, so nothing was done")


def _is_about_values(error: ChannelError) -> bool:
    """Tell whether trying again is pointless: a data exception (22) or a violated constraint (23)."""
    return error.sqlstate[:2] in ("22", "23")


def _settle(batch: Sequence[_Entry], problem: str | None) -> None:
    for entry in batch:
        # A caller that was cancelled waits no more; one that was answered already keeps that answer.
        if entry.done.done():
            continue
        if problem is None:
            entry.done.set_result(None)
        else:
            entry.done.set_exception(UnavailableError(problem))


def _insert(channel: Channel, batch: Sequence[_Entry]) -> asyncio.Future[Rows]:
    rows = _join([entry.row for entry in batch])
    payloads = [entry.payload for entry in batch if entry.payload is not None]
    if not payloads:
        return channel.execute("insert", [rows])
    return channel.execute("insert with payloads", [rows, _join(payloads)])


def _join(rows: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(rows) + b"]"


def encode_row(columns: Mapping[str, Any]) -> bytes:
    """Return columns of audit.AuditEvent as JSON, times in seconds since the epoch. Those left out are empty.

    What is JSON already may be an orjson.Fragment.
    """
    try:
        return orjson.dumps(columns)
    except orjson.JSONEncodeError:
        # Half a surrogate pair, from a client that sent one: UTF-8 can't say it.
        return json.dumps(_scrub(dict(columns)), default=_unwrap).encode()


def _unwrap(value: Any) -> Any:
    return json.loads(value.contents) if isinstance(value, orjson.Fragment) else str(value)


def join_rows(first: bytes, second: bytes) -> bytes:
    """Return one row with the columns of both, of which neither is without any."""
    return b"%b,%b" % (first[:-1], second[1:])


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_scrub(str(key)): _scrub(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(item) for item in value]
    return value
