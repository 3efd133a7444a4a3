"""Django's cache on Valkey or Redis that goes on in this process's memory while the server can't be reached."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

# While the server is away it is asked again this often, so that its absence costs one failed call in this time.
_RETRY_SECONDS = 5.0


class ForgivingCache(RedisCache):
    """Everything in the cache can be lost: rate-limit counts, nothing else that matters."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._local = LocMemCache(f"fallback:{server}", {})
        self._away_until = 0.0

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._call("get", key, default, version=version)

    def set(self, key: Any, value: Any, timeout: Any = 300, version: int | None = None) -> None:
        self._call("set", key, value, timeout, version=version)

    def add(self, key: Any, value: Any, timeout: Any = 300, version: int | None = None) -> bool:
        return bool(self._call("add", key, value, timeout, version=version))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return int(self._call("incr", key, delta, version=version))

    def delete(self, key: Any, version: int | None = None) -> bool:
        return bool(self._call("delete", key, version=version))

    def touch(self, key: Any, timeout: Any = 300, version: int | None = None) -> bool:
        return bool(self._call("touch", key, timeout, version=version))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return bool(self._call("has_key", key, version=version))

    def clear(self) -> None:
        """Forget our own keys alone: Django's way would empty the database that Celery's queue shares."""
        self._local.clear()
        with contextlib.suppress(RedisConnectionError, RedisTimeoutError, OSError):
            client = self._cache.get_client(None, write=True)
            for key in client.scan_iter(match=f"{self.key_prefix}:*"):
                client.delete(key)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= self._away_until:
            method: Callable[..., Any] = getattr(super(), name)
            try:
                return method(*args, **kwargs)
            except (RedisConnectionError, RedisTimeoutError, OSError):
                self._away_until = time.monotonic() + _RETRY_SECONDS
        return getattr(self._local, name)(*args, **kwargs)
