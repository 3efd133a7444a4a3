"""`python -m tests.connections.faults.storm PROCESSES CONNECTION…`: processes that refresh, and are killed.

Each child uses random connections, with a clock of its own that is wrong by up to a second. Every so often one is
killed (-9), wherever it is, and another one takes its place. Ends when told to; prints how many it killed.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from datetime import timedelta
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kontext.settings")

FENCE_SECONDS = 8.0
REQUEST_SECONDS = 4.0
MEAN_LIFE_SECONDS = 1.0


def main() -> None:
    django.setup()
    count, connections = int(sys.argv[1]), [UUID(argument) for argument in sys.argv[2:]]
    _hurry()
    print("ready", flush=True)
    sys.stdin.readline()
    children = [_fork(connections) for _ in range(count)]
    killed = 0
    while not select.select([sys.stdin], [], [], random.expovariate(count / MEAN_LIFE_SECONDS))[0]:
        victim = children.pop(random.randrange(len(children)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        killed += 1
        children.append(_fork(connections))
    for child in children:  # these may finish what they have begun
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    print(killed, flush=True)


def _hurry() -> None:
    """Let a dead owner's fence pass after seconds; a request still ends well before that."""
    from connections import egress
    from connections.oauth import tokens
    from connections.services import refresh_fence

    refresh_fence.FENCE_SECONDS = FENCE_SECONDS  # type: ignore[assignment]
    refresh_fence._LAST_RETRY_SECONDS = 0.1
    tokens._LIMITS = egress.Limits(seconds=REQUEST_SECONDS, body_bytes=10_000)


def _fork(connections: list[UUID]) -> int:
    child = os.fork()
    if child == 0:
        try:
            _refresh_without_end(connections)
        finally:
            os._exit(0)
    return child


def _refresh_without_end(connections: list[UUID]) -> None:
    from django.utils import timezone

    from connections.errors import ConnectionsError
    from connections.services.recover_refreshes import recover_refreshes
    from connections.services.refresh import get_credential

    random.seed()
    right, skew = timezone.now, timedelta(seconds=random.uniform(-1, 1))
    timezone.now = lambda: right() + skew
    is_over: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: is_over.append(True))
    while not is_over:
        try:
            if random.random() < 0.1:
                recover_refreshes()
            get_credential(connection_id=random.choice(connections), min_seconds=300, deadline=time.monotonic() + 0.5)
        except ConnectionsError:
            continue


if __name__ == "__main__":
    main()
