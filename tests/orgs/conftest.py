"""Nothing that a process remembers may outlive the database of one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from orgs.oauth.keys import forget_signing_key


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    """Keys and counts of another test's database must not be used."""
    forget_signing_key()
    cache.clear()
    yield
    forget_signing_key()
