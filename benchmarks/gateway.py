"""What the gateway costs: the same load on the integration itself, on a bare pass-through, and on the gateway.

    python -m benchmarks.gateway [--rounds 3] [--seconds 2] [--connections 1 16 64] [--workers 1]

Starts everything: a durable PostgreSQL, the integration, pass-throughs and the gateway, each its own process. The bare
pass-through calls the integration with aiohttp as its documentation says, the lean one as the gateway does, below
aiohttp's session. In the gateway every check is on: token, three layers, injected credential, two durable audit rows a
call. The rounds are interleaved and their medians printed, since machines are shared; the ratios are what to believe.
Each reply's content is checked, and so is that every call has its two rows.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from benchmarks.load import Job, Result
from kontext.embedded.postgres import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
KEY = "key-of-alice-at-the-echo-integration"
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "echo",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something to put load on. `pid` is of the process whose CPU time (children included) is charged to the calls."""

    name: str
    job: Job
    pid: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    rate: float
    p50: float
    p99: float
    cpu_us: float


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kontext-bench-")))
        targets = _start_everything(stack, folder, options.workers)
        print(f"{os.cpu_count()} cores, {options.workers} worker(s), {options.rounds} rounds of {options.seconds} s\n")
        for connections in options.connections:
            _print(connections, _measure(targets, connections, options.rounds, options.seconds))
        _check_audit()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args(arguments)


def _start_everything(stack: ExitStack, folder: Path, workers: int) -> list[Target]:
    echo_port, pass_port, lean_port, gateway_port = (find_port() for _ in range(4))
    echo_url = f"http://127.0.0.1:{echo_port}/mcp"
    echo = stack.enter_context(process("-m", "benchmarks.echo_server", str(echo_port), KEY))
    set_environment(stack, folder, gateway_port)
    token = prepare_database(echo_url)
    passing = {"ECHO_URL": echo_url, "ECHO_KEY": KEY}
    passthrough = stack.enter_context(granian("benchmarks.passthrough:app", pass_port, workers, passing))
    lean = stack.enter_context(granian("benchmarks.passthrough:lean", lean_port, workers, passing))
    gateway = stack.enter_context(granian("gateway.app:app", gateway_port, workers, {}))
    wait_for(pass_port)
    wait_for(lean_port)
    wait_for(gateway_port)

    def target(name: str, port: int, path: str, bearer: str, pid: int) -> Target:
        headers = {**HEADERS, "authorization": f"Bearer {bearer}"}
        return Target(name=name, job=Job(port=port, path=path, connections=1, seconds=1, headers=headers), pid=pid)

    return [
        target("integration itself", echo_port, "/mcp", KEY, echo),
        target("bare pass-through", pass_port, "/mcp", KEY, passthrough),
        target("lean pass-through", lean_port, "/mcp", KEY, lean),
        target("gateway", gateway_port, "/mcp/echo", token, gateway),
    ]


def set_environment(stack: ExitStack, folder: Path, gateway_port: int) -> None:
    for name in [name for name in os.environ if name.startswith("KONTEXT_")]:
        del os.environ[name]
    folder.chmod(0o711)
    os.environ["KONTEXT_DATA_DIR"] = str(folder)
    if not os.environ.get("DATABASE_URL"):
        server = PostgresServer(folder)
        server.start()
        stack.callback(server.stop)
        os.environ["DATABASE_URL"] = server.url
    os.environ["KONTEXT_SECRET_KEY"] = os.urandom(24).hex()
    os.environ["KONTEXT_ALLOW_PRIVATE_NETWORKS"] = "true"
    os.environ["KONTEXT_GATEWAY_URL"] = f"http://127.0.0.1:{gateway_port}"
    os.environ["KONTEXT_LOG_LEVEL"] = "WARNING"
    os.environ["DJANGO_SETTINGS_MODULE"] = "kontext.settings"


def prepare_database(echo_url: str) -> str:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from benchmarks.world import make_world

    return make_world(echo_url=echo_url, key=KEY)


def granian(application: str, port: int, workers: int, environment: dict[str, str]) -> AbstractContextManager[int]:
    options = ("--interface", "rsgi", "--loop", "uvloop", "--http", "1", "--no-ws", "--log-level", "warning")
    where = ("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers))
    return process("-m", "granian", *options, *where, application, environment=environment)


@contextmanager
def process(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env={**os.environ, **(environment or {})})
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=15)


def find_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nothing answers at port {port}")


def _measure(targets: list[Target], connections: int, rounds: int, seconds: float) -> dict[str, list[Measured]]:
    measured: dict[str, list[Measured]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            measured[target.name].append(_run(target, connections, seconds))
    return measured


def _run(target: Target, connections: int, seconds: float) -> Measured:
    job = replace(target.job, connections=connections, seconds=seconds)
    before = _get_cpu_seconds(target.pid)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=ROOT,
        input=orjson.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        check=True,
    )
    spent = _get_cpu_seconds(target.pid) - before
    result = Result(**orjson.loads(done.stdout))
    if result.wrong or not result.requests:
        raise SystemExit(f"{target.name}: {result.wrong} of {result.requests} replies are wrong: {result.example}")
    return Measured(rate=result.rate, p50=result.p50, p99=result.p99, cpu_us=spent * 1e6 / result.total)


def _get_cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its children have used, from /proc."""
    ticks = 0
    for process in (pid, *_find_children(pid)):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _find_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _print(connections: int, measured: dict[str, list[Measured]]) -> None:
    medians = {
        name: Measured(
            **{key: statistics.median(getattr(one, key) for one in runs) for key in Measured.__annotations__}
        )
        for name, runs in measured.items()
    }
    bare = medians["bare pass-through"].rate
    print(f"{connections} connection(s)       req/s      p50      p99   CPU a call   of the pass-through")
    for name, one in medians.items():
        print(
            f"  {name:20} {one.rate:9,.0f} {one.p50:6.2f} ms {one.p99:5.1f} ms {one.cpu_us:8.0f} µs"
            f" {one.rate / bare:10.2f}"
        )
    print()


def _check_audit() -> None:
    """Every call has its two rows, and no more. The last ones were cut off, and take a moment to be cancelled."""
    deadline = time.monotonic() + 5
    while (counts := _count_events())[0] != counts[1] and time.monotonic() < deadline:
        time.sleep(0.1)
    requested, completed, denied = counts
    print(f"audit: {requested:,} calls requested, {completed:,} completed, {denied:,} denied")
    if requested != completed or denied:
        raise SystemExit("the audit log and the calls don't agree")


def _count_events() -> tuple[int, int, int]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE phase = 'requested'), count(*) FILTER (WHERE phase = 'completed'),"
            " count(*) FILTER (WHERE phase = 'denied') FROM audit_auditevent WHERE call IS NOT NULL"
        )
        requested, completed, denied = cursor.fetchone()
        return requested, completed, denied


if __name__ == "__main__":
    main()
