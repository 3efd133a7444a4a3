"""Load on one HTTP endpoint over kept connections, each reply checked against what was sent.

    python -m benchmarks.load   (a job as JSON on stdin, the result as JSON on stdout)

A process of its own, on raw sockets: it must cost less than what it measures.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import orjson
import uvloop

_WARM_UP_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Job:
    """`connections` callers, each with one request under way at a time, for `seconds`."""

    port: int
    path: str
    connections: int
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """Times are in milliseconds. A reply is wrong when it isn't a 200 with the text and the id that were sent.

    `requests` came back in `seconds`, `total` with those of the warm-up.
    """

    requests: int
    total: int
    wrong: int
    seconds: float
    p50: float
    p99: float
    example: str = ""

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class Caller(asyncio.Protocol):
    _transport: asyncio.Transport

    def __init__(self, number: int, job: Job, run: Run) -> None:
        self._job, self._run = job, run
        self._count, self._name = 0, f"caller {number}, call "
        self._received = b""
        self._expected: list[bytes] = []
        lines = [f"POST {job.path} HTTP/1.1", f"host: 127.0.0.1:{job.port}"]
        lines += [f"{name}: {value}" for name, value in job.headers.items()]
        self._head = "\r\n".join(lines).encode() + b"\r\ncontent-length: "

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none, but behave as such
        self._send()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = received[:end].lower()
        size = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(received) < end + 4 + size:
            return
        self._received = b""
        is_right = head.startswith(b"http/1.1 200 ") and all(part in received for part in self._expected)
        self._run.count(time.perf_counter() - self._sent_at, None if is_right else received)
        if not self._run.is_over:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._run.is_over:
            self._run.count(0.0, b"the connection was closed")

    def _send(self) -> None:
        self._count += 1
        text = f"{self._name}{self._count}"
        self._expected = [b'"id":%d' % self._count, b'"%b"' % text.encode()]
        body = _make_call(self._count, text)
        self._sent_at = time.perf_counter()
        self._transport.write(self._head + str(len(body)).encode() + b"\r\n\r\n" + body)


class Run:
    """Counts what comes back after the warm-up."""

    def __init__(self) -> None:
        self.is_over = self._is_counting = False
        self._times: list[float] = []
        self._wrong = self._total = 0
        self._example = b""

    def begin(self) -> None:
        self._is_counting, self._began_at = True, time.perf_counter()

    def count(self, seconds: float, wrong: bytes | None) -> None:
        self._total += 1
        if not self._is_counting or self.is_over:
            return
        self._times.append(seconds)
        if wrong is not None:
            self._wrong += 1
            self._example = wrong

    def end(self) -> Result:
        self.is_over = True
        times = sorted(self._times) or [0.0]
        return Result(
            requests=len(self._times),
            total=self._total,
            wrong=self._wrong,
            seconds=time.perf_counter() - self._began_at,
            p50=times[len(times) // 2] * 1000,
            p99=times[len(times) * 99 // 100] * 1000,
            example=self._example.decode(errors="replace")[:2000],
        )


def _make_call(number: int, text: str) -> bytes:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
    }
    params = {"name": "echo", "arguments": {"text": text}, "_meta": meta}
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


async def run(job: Job) -> Result:
    loop, counting = asyncio.get_running_loop(), Run()
    transports = [
        (await loop.create_connection(lambda number=number: Caller(number, job, counting), "127.0.0.1", job.port))[0]  # type: ignore[misc]
        for number in range(job.connections)
    ]
    await asyncio.sleep(_WARM_UP_SECONDS)
    counting.begin()
    await asyncio.sleep(job.seconds)
    result = counting.end()
    for transport in transports:
        transport.close()
    return result


if __name__ == "__main__":
    job = Job(**orjson.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(orjson.dumps(asdict(uvloop.run(run(job)))))
