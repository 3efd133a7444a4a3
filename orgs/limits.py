"""Rate limits: fixed windows counted in Django's cache. Losing the cache forgets counts and refuses nobody."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from django.core.cache import cache

__all__ = ["Limit", "find_wait", "is_exceeded", "record_use"]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `uses` within each window of `seconds`, per key."""

    name: str
    uses: int
    seconds: int = 60


def record_use(limit: Limit, key: str) -> int:
    """Count one use and return how many seconds to wait, 0 when within the limit."""
    name, wait = _window(limit, key)
    cache.add(name, 0, limit.seconds + 1)
    try:
        used = cache.incr(name)
    except ValueError:  # the window ended in between
        return 0
    return wait if used > limit.uses else 0


def find_wait(limit: Limit, key: str) -> int:
    """Return how many seconds to wait, without counting: for limits on failures, which are counted afterwards."""
    name, wait = _window(limit, key)
    return wait if (cache.get(name) or 0) >= limit.uses else 0


def is_exceeded(limit: Limit, key: str) -> bool:
    return find_wait(limit, key) > 0


def _window(limit: Limit, key: str) -> tuple[str, int]:
    number, passed = divmod(int(time.time()), limit.seconds)
    # Keys come from requests: a digest keeps them short, printable and out of the cache's key space.
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"limit:{limit.name}:{digest}:{number}", limit.seconds - passed
