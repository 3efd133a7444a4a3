"""Fixtures for every test. The servers are started in tests/plugin.py, before Django is set up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.backends.postgresql.operations import DatabaseOperations
from hypothesis import HealthCheck, settings

# How long making an example takes says more about who else uses the machine than about the test.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_APPEND_ONLY = (
    "tree",
    "leaf",
    "node",
    "checkpoint",
    "payload",
    "payloadkey",
    "cosignature",
    "witnessedlog",
    "retentionstatement",
)
# Of the log each partition has a trigger of its own against TRUNCATE.
_SWITCH_PARTITIONS = """DO $$ DECLARE part regclass; BEGIN
    FOR part IN SELECT relid FROM pg_partition_tree('audit_auditevent') LOOP
        EXECUTE format('ALTER TABLE %s {} TRIGGER USER', part);
    END LOOP;
END $$"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares one running installation in one process of pytest-xdist: starting a second one takes longer."""
    for item in items:
        if "installation" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("installation"))


@pytest.fixture(autouse=True, scope="session")
def _emptying_the_log_between_tests() -> Iterator[None]:
    """Let Django empty the tables after a test with real transactions: the log's triggers refuse that to everyone."""
    flush = DatabaseOperations.sql_flush

    def sql_flush(self: DatabaseOperations, *args: Any, **kwargs: Any) -> list[str]:
        statements = flush(self, *args, **kwargs)
        switches = [_SWITCH_PARTITIONS, *(f"ALTER TABLE audit_{name} {{}} TRIGGER USER" for name in _APPEND_ONLY)]
        if not statements:
            return []
        return [
            *(switch.format("DISABLE") for switch in switches),
            *statements,
            *(switch.format("ENABLE") for switch in switches),
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", sql_flush)
        yield
