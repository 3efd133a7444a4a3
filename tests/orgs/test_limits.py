"""Limits count where Valkey is, and go on counting where it is not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache

from orgs import limits
from orgs.cache import ForgivingCache
from orgs.limits import Limit, find_wait, record_use


def check_counting(monkeypatch: pytest.MonkeyPatch, cache: BaseCache) -> None:
    monkeypatch.setattr(limits, "cache", cache)
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    limit = Limit("test", uses=2)
    assert [record_use(limit, "a") > 0 for _ in range(4)] == [False, False, True, True]
    assert find_wait(limit, "a") > 0
    assert find_wait(limit, "b") == 0
    monkeypatch.setattr(time, "time", lambda: 1_000_060.0)
    assert find_wait(limit, "a") == 0


def test_count_with_valkey(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ForgivingCache(valkey, {"KEY_PREFIX": "test"})
    check_counting(monkeypatch, cache)
    cache.set("kept", 1)
    other = ForgivingCache(valkey, {"KEY_PREFIX": "other"})
    other.set("stays", 2)
    cache.clear()
    assert (cache.get("kept"), other.get("stays")) == (None, 2)
    assert cache.add("once", 1)
    assert not cache.add("once", 2)
    assert cache.touch("once", 60)
    assert cache.has_key("once")
    assert cache.delete("once")
    cache.close()
    other.close()


def test_count_without_valkey(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check_counting(monkeypatch, ForgivingCache(f"unix://{tmp_path}/gone.sock", {"KEY_PREFIX": "test"}))


def test_valkey_that_comes_back_is_used_again(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ForgivingCache(valkey, {"KEY_PREFIX": "test"})
    cache._away_until = float("inf")
    cache.set("where", "memory")
    cache._away_until = 0
    cache.set("where", "valkey")
    assert cache.get("where") == "valkey"
    cache.close()
