"""Migration operations that Django lacks: references inside one organization, and snapshot triggers."""

from __future__ import annotations

from django.db.migrations import RunSQL


def same_organization(*, table: str, column: str, target: str, target_column: str = "id") -> RunSQL:
    """Return an operation that makes a reference across organizations impossible in PostgreSQL itself.

    `target` needs a unique constraint on (organization_id, target_column). A null reference is not checked.
    """
    name = f"{table}_{column}_same_org"
    return RunSQL(
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" FOREIGN KEY (organization_id, "{column}") '
        f'REFERENCES "{target}" (organization_id, "{target_column}") DEFERRABLE INITIALLY DEFERRED',
        f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"',
    )


def watched(table: str, *, ignoring: tuple[str, ...] = (), events: str = "INSERT UPDATE DELETE") -> list[RunSQL]:
    """Return operations that bump the organization's snapshot version when `table` changes.

    The table has `organization_id`. Updates that touch only columns named in `ignoring` do not count.
    """
    return [_watch(table, event, ignoring) for event in events.split()]


def _watch(table: str, event: str, ignoring: tuple[str, ...]) -> RunSQL:
    tables = {
        "INSERT": "NEW TABLE AS new_rows",
        "DELETE": "OLD TABLE AS old_rows",
        "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    }[event]
    name = f"kontext_snapshot_{event.lower()}"
    argument = ",".join(ignoring)
    return RunSQL(
        f'CREATE TRIGGER {name} AFTER {event} ON "{table}" REFERENCING {tables} '
        f"FOR EACH STATEMENT EXECUTE FUNCTION kontext_rows_changed('{argument}')",
        f'DROP TRIGGER {name} ON "{table}"',
    )
