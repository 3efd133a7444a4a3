"""How soon a changed rule holds: from its commit until three gateway processes decide by it.

    python -m benchmarks.live_rules [--changes 20]

Starts a durable PostgreSQL, the integration and three gateways, each its own process. A deny is switched on and off
through the same service as in the admin, while each gateway is called without pause. A change counts as live when the
last of the three has answered by it; no answer after that may be by the former rule.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks.gateway import (
    HEADERS,
    KEY,
    find_port,
    granian,
    prepare_database,
    process,
    set_environment,
    wait_for,
)

if TYPE_CHECKING:
    from policy.models import Rule

_GATEWAYS = 3
_LONGEST = 10.0
_PAUSE = 0.002


class Caller:
    """Calls one gateway without pause, and remembers when which answer came."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {**HEADERS, "authorization": f"Bearer {token}"}
        self._stopped = threading.Event()
        self.answers: list[tuple[float, bool]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._connection.close()

    def find_first(self, is_allowed: bool, since: float) -> float | None:
        """Return when the first such answer came after a moment."""
        return next((at for at, allowed in list(self.answers) if at >= since and allowed is is_allowed), None)

    def has_other(self, is_allowed: bool, since: float) -> bool:
        return any(at > since and allowed is not is_allowed for at, allowed in list(self.answers))

    def _run(self) -> None:
        body = _make_body()
        while not self._stopped.is_set():
            self._connection.request("POST", "/mcp/echo", body, self._headers)
            answer: dict[str, Any] = orjson.loads(self._connection.getresponse().read())
            code = answer.get("error", {}).get("data", {}).get("code")
            if "result" not in answer and code != "kontext_policy_denied":
                raise SystemExit(f"an answer that is neither a result nor a denial: {answer}")
            self.answers.append((time.perf_counter(), "result" in answer))
            time.sleep(_PAUSE)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kontext-bench-")))
        callers = _start_everything(stack, folder)
        taken = _measure(_make_rule(), callers, options.changes)
    print(f"a rule change live in {_GATEWAYS} gateway processes, {len(taken)} changes under load")
    print(f"  median {statistics.median(taken) * 1e3:.0f} ms, at most {max(taken) * 1e3:.0f} ms\n")
    if max(taken) > 1:
        raise SystemExit("a change took longer than the second that is promised")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=20)
    return parser.parse_args(arguments)


def _start_everything(stack: ExitStack, folder: Path) -> list[Caller]:
    echo_port, *ports = (find_port() for _ in range(1 + _GATEWAYS))
    stack.enter_context(process("-m", "benchmarks.echo_server", str(echo_port), KEY))
    # One address for all, as behind a load balancer: tokens are for that, whichever process is called.
    set_environment(stack, folder, ports[0])
    token = prepare_database(f"http://127.0.0.1:{echo_port}/mcp")
    for port in ports:
        stack.enter_context(granian("gateway.app:app", port, 1, {}))
    callers = []
    for port in ports:
        wait_for(port)
        caller = Caller(port, token)
        caller.start()
        stack.callback(caller.stop)
        callers.append(caller)
    return callers


def _make_body() -> bytes:
    client = {"io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"}}
    version = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    meta = {**client, **version, "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": "echo", "arguments": {"text": "caller 1"}, "_meta": meta}
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def _make_rule() -> Rule:
    from orgs.models import Organization
    from policy.services.create_rule import create_rule

    organization = Organization.objects.get(slug="acme")
    return create_rule(
        organization=organization, layer="org", effect="deny", capability="echo", is_enabled=False, author=None
    )


def _measure(rule: Rule, callers: list[Caller], changes: int) -> list[float]:
    from policy.services.update_rule import update_rule

    _wait_until_all(callers, True, time.perf_counter())
    taken = []
    for number in range(changes):
        is_denied = number % 2 == 0
        rule = update_rule(rule=rule, is_enabled=is_denied)
        committed = time.perf_counter()
        live_at = _wait_until_all(callers, not is_denied, committed)
        taken.append(live_at - committed)
        time.sleep(0.1)
        if any(caller.has_other(not is_denied, live_at) for caller in callers):
            raise SystemExit("a gateway went back to the former rule")
    return taken


def _wait_until_all(callers: list[Caller], is_allowed: bool, since: float) -> float:
    """Return when the last gateway first answered so."""
    deadline = time.perf_counter() + _LONGEST
    while time.perf_counter() < deadline:
        found = [caller.find_first(is_allowed, since) for caller in callers]
        if None not in found:
            return max(at for at in found if at is not None)
        time.sleep(_PAUSE)
    raise SystemExit(f"after {_LONGEST:.0f} s not every gateway decides by the new rule")


if __name__ == "__main__":
    main()
