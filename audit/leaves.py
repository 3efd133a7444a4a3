"""What of an event goes into the Merkle tree, byte for byte. docs/audit.md says the same to auditors.

The data of a leaf is one byte, the version of this encoding, and then the event as a JSON array in UTF-8, as
PostgreSQL's json_build_array writes it: the columns in the order below, elements separated by a comma and a space;
texts, identifiers and addresses as strings, moments in UTC without a zone ("2026-11-24T21:54:30.12"), jsonb columns as
jsonb is printed; null for a `call` that is the event's own identifier, which says that it belongs to none. The leaf's
hash is SHA-256 of a zero byte and the data (RFC 6962 §2.1). Pure: SQL texts, no database.

PostgreSQL makes the text since it is the fastest place for that (100,000 a second on one core); whoever verifies an
exported log has the text before them and needs no encoder.
"""

from __future__ import annotations

import hashlib

VERSION = 1
# A version is never changed. Whoever adds a column to the log adds a version, which is written from then on.
COLUMNS: dict[int, tuple[str, ...]] = {
    1: (
        "id",
        "organization_id",
        "type",
        "occurred_at",
        "recorded_at",
        "call",
        "phase",
        "outcome",
        "user_id",
        "user_name",
        "application_id",
        "application_name",
        "integration_id",
        "integration",
        "capability",
        "connection_id",
        "account",
        "session",
        "request_id",
        "trace_id",
        "source_address",
        "policy_version",
        "decision",
        "arguments_digest",
        "latency_us",
        "details",
    )
}
_MOMENTS = ("occurred_at", "recorded_at")
_PREFIXES = {version: bytes([0, version]) for version in range(256)}


def hash_event(data: bytes, version: int = VERSION) -> bytes:
    """Return the leaf hash of an event whose JSON array this is: merkle.hash_leaf, with one copy of the data less."""
    return hashlib.sha256(_PREFIXES[version] + data).digest()


def data_sql(alias: str, version: int = VERSION) -> str:
    """Return the SQL expression for the JSON array of the event that `alias` names."""
    return f"json_build_array({', '.join(_column(alias, name) for name in COLUMNS[version])})::text"


def versioned_data_sql(alias: str, version: str) -> str:
    """Return the same where the version is itself an SQL expression."""
    cases = " ".join(f"WHEN {number} THEN {data_sql(alias, number)}" for number in COLUMNS)
    return f"CASE {version} {cases} END"


def _column(alias: str, name: str) -> str:
    if name == "call":
        return f'nullif({alias}."call", {alias}."id")'
    # Without a zone, so that the session's own can't show in it.
    return f"{alias}.\"{name}\" AT TIME ZONE 'UTC'" if name in _MOMENTS else f'{alias}."{name}"'
