"""What keeping the content of calls costs the gateway's process: the two events of a call, at each level.

    python -m benchmarks.keep_content

In one process, without a database: the stages that write the events run as they are, into a log that takes everything
at once. So it is the CPU time that a call's events take before they are sent. `without` is a completed event that says
nothing of the answer, as before there was a digest of it. The least of many rounds, taken in turns, since machines are
shared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kontext.settings")

import django

django.setup()

import orjson  # noqa: E402

from audit.capture import Capture, Level  # noqa: E402
from connections.injection import Recipe  # noqa: E402
from gateway.facts import IntegrationFacts, Principal  # noqa: E402
from gateway.mcp.eras import Era  # noqa: E402
from gateway.mcp.messages import parse_message  # noqa: E402
from gateway.mcp.methods import REQUESTS  # noqa: E402
from gateway.payloads import Payloads  # noqa: E402
from gateway.pipeline.call import Call, Caller  # noqa: E402
from gateway.pipeline.intent import record_intent  # noqa: E402
from gateway.pipeline.outcome import judge_document, record_answer, record_outcome  # noqa: E402
from orgs.vault import Key  # noqa: E402

CALLS, ROUNDS = 300, 40
SIZES = {"100 bytes": 100, "1 KiB": 1024, "32 KiB": 32 * 1024}

Finish = Callable[[Call, Any, dict[str, Any]], Awaitable[None]]


async def finish_without(call: Call, gateway: Any, document: dict[str, Any]) -> None:
    await record_outcome(call, gateway, judge_document(document))


WAYS: dict[str, tuple[Capture | None, Finish]] = {
    "without": (None, finish_without),
    "digest": (None, record_answer),
    "summary": (Capture(Level.SUMMARY), record_answer),
    "full": (Capture(Level.FULL), record_answer),
}


def main() -> None:
    print(f"CPU of a call's two events in microseconds, the least of {ROUNDS} rounds of {CALLS}\n")
    print(f"{'answer of':12}" + "".join(f"{name:>10}" for name in WAYS))
    for label, size in SIZES.items():
        document = {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "x " * (size // 2)}]}}
        best = dict.fromkeys(WAYS, float("inf"))
        for _ in range(ROUNDS):
            for name, (capture, finish) in WAYS.items():
                best[name] = min(best[name], measure(capture, finish, document))
        print(f"{label:12}" + "".join(f"{best[name]:10.1f}" for name in WAYS))


def measure(capture: Capture | None, finish: Finish, document: dict[str, Any]) -> float:
    gateway = make_gateway()
    calls = [make_call(capture, gateway) for _ in range(CALLS)]
    began = time.process_time()
    for call in calls:
        run(record_intent(call, gateway))
        run(finish(call, gateway, document))
    return (time.process_time() - began) / CALLS * 1_000_000


def run(step: Any) -> None:
    """Run what never has to wait, without an event loop around it."""
    try:
        step.send(None)
    except StopIteration:
        return
    raise RuntimeError("this was not to wait")


class TakesAll:
    async def write(self, row: bytes, payload: bytes | None = None) -> None:
        return None


def make_gateway() -> Any:
    payloads = Payloads(None)  # type: ignore[arg-type]  # no thread is needed for a key that is known
    payloads._keys[ORGANIZATION, USER, None] = (0, Key(uuid4(), bytes(32)))
    return SimpleNamespace(runtime=SimpleNamespace(audit_log=TakesAll(), payloads=payloads))


ORGANIZATION, USER, APPLICATION = (str(uuid4()) for _ in range(3))
PRINCIPAL = Principal(
    organization_id=ORGANIZATION,
    user_id=USER,
    application_id=APPLICATION,
    client_id="app",
    jti="",
    scopes=frozenset(),
    resource="",
    issued_at=0,
    expires_at=0,
    user_name="Alice Adams",
    application_name="PR-Bot",
)
SNAPSHOT: Any = SimpleNamespace(organization_id=ORGANIZATION, digest_key=bytes(32), erasures=0)
EXCHANGE: Any = SimpleNamespace(request_id="request-of-alice", headers={})
BODY = orjson.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "create_issue", "arguments": {"repo": "acme/frontend", "title": "Build is red"}},
    }
)


def make_call(capture: Capture | None, gateway: Any) -> Call:
    integration = IntegrationFacts(
        id=APPLICATION,
        slug="github",
        name="GitHub",
        url="",
        auth_mode="none",
        category="",
        recipe=Recipe(""),
        is_active=True,
        capture=capture,
    )
    caller = Caller(
        principal=PRINCIPAL, snapshot=SNAPSHOT, integration=integration, groups=frozenset(), source_address="127.0.0.1"
    )
    message = parse_message(BODY)
    method = REQUESTS["tools/call"]
    return Call(exchange=EXCHANGE, caller=caller, message=message, era=Era.MODERN, method=method, name="create_issue")


if __name__ == "__main__":
    main()
