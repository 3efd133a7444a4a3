"""The log becomes a partitioned table, and the table that was becomes its first partition: no event is copied.

Partitions are made after every migration (audit.apps) and by the worker. How an event is sealed stays the same.
"""

import datetime as dt

from django.db import migrations, models
from django.db.models import F, Q

COLUMNS = """
    id, organization_id, type, occurred_at, recorded_at, call, phase, outcome, user_id, user_name, application_id,
    application_name, integration_id, integration, capability, connection_id, account, session, request_id, trace_id,
    source_address, policy_version, decision, arguments_digest, latency_us, details
"""
# Row triggers of a partitioned table hold for its partitions; those of statements each table needs for itself.
APPEND_ONLY = """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_auditevent
        FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
"""
NO_TRUNCATE = """
    CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {0} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""
DROP_TRIGGERS = """
    DROP TRIGGER audit_append_only ON audit_auditevent;
    DROP TRIGGER audit_no_truncate ON audit_auditevent;
"""

# Calls that are not of this time (their identifiers were no UUIDv7) go where the net would have caught them.
PARTITION = """
    ALTER TABLE audit_auditevent RENAME TO audit_auditevent_former;
    ALTER TABLE audit_auditevent_former RENAME CONSTRAINT audit_auditevent_pkey TO audit_auditevent_former_pkey;
    ALTER TABLE audit_auditevent_former RENAME CONSTRAINT audit_event_once_per_phase TO audit_event_former_once_per_phase;
    ALTER INDEX audit_event_by_organization RENAME TO audit_event_former_by_organization;
    ALTER INDEX audit_event_by_user RENAME TO audit_event_former_by_user;
    UPDATE audit_auditevent_former SET call = id WHERE call IS NULL;
    ALTER TABLE audit_auditevent_former ALTER COLUMN call SET NOT NULL,
        ADD CONSTRAINT audit_event_without_phase_is_no_call CHECK (phase <> '' OR call = id);

    CREATE TABLE audit_auditevent (LIKE audit_auditevent_former INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
        PARTITION BY RANGE (call);
    ALTER TABLE audit_auditevent ADD CONSTRAINT audit_event_once_per_phase UNIQUE (call, phase);
    CREATE INDEX audit_event_by_organization ON audit_auditevent (organization_id, id DESC);
    CREATE INDEX audit_event_by_user ON audit_auditevent (organization_id, user_id, id DESC);
    CREATE TABLE audit_auditevent_default (LIKE audit_auditevent INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (id));
    ALTER TABLE audit_auditevent ATTACH PARTITION audit_auditevent_default DEFAULT;
"""
ATTACH = f"""
    WITH moved AS (DELETE FROM audit_auditevent_former WHERE call >= '{{0}}' RETURNING {COLUMNS})
    INSERT INTO audit_auditevent_default ({COLUMNS}) SELECT {COLUMNS} FROM moved;
    ALTER TABLE audit_auditevent ATTACH PARTITION audit_auditevent_former FOR VALUES FROM (MINVALUE) TO ('{{0}}');
"""
JOIN = f"""
    ALTER TABLE audit_auditevent RENAME TO audit_auditevent_parts;
    CREATE TABLE audit_auditevent (LIKE audit_auditevent_parts INCLUDING DEFAULTS);
    ALTER TABLE audit_auditevent ALTER COLUMN call DROP NOT NULL;
    INSERT INTO audit_auditevent ({COLUMNS})
        SELECT {COLUMNS.replace("call,", "nullif(call, id),")} FROM audit_auditevent_parts ORDER BY id;
    DROP TABLE audit_auditevent_parts;
    ALTER TABLE audit_auditevent ADD PRIMARY KEY (id),
        ADD CONSTRAINT audit_event_once_per_phase UNIQUE (call, phase);
    CREATE INDEX audit_event_by_organization ON audit_auditevent (organization_id, id DESC);
    CREATE INDEX audit_event_by_user ON audit_auditevent (organization_id, user_id, id DESC);
"""


def partition(apps, schema_editor):
    execute = schema_editor.connection.cursor().execute
    execute(DROP_TRIGGERS)
    execute(PARTITION)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM audit_auditevent_former)")
        if cursor.fetchone()[0]:
            cursor.execute(ATTACH.format(find_end_of_month(dt.datetime.now(dt.UTC))))
            cursor.execute(NO_TRUNCATE.format("audit_auditevent_former"))
        else:
            cursor.execute("DROP TABLE audit_auditevent_former")
    execute(APPEND_ONLY)
    for table in ("audit_auditevent", "audit_auditevent_default"):
        execute(NO_TRUNCATE.format(table))


def join(apps, schema_editor):
    execute = schema_editor.connection.cursor().execute
    execute(JOIN)
    execute(APPEND_ONLY)
    execute(NO_TRUNCATE.format("audit_auditevent"))


def find_end_of_month(now):
    """Return the lowest UUIDv7 of the next month, as text."""
    following = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=32)).replace(day=1)
    digits = f"{int(following.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_outlet_positions")]
    operations = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunPython(partition, join)],
            [
                migrations.AlterField("AuditEvent", "call", models.UUIDField(blank=True, editable=False)),
                migrations.AddConstraint(
                    "AuditEvent",
                    models.CheckConstraint(
                        condition=~Q(phase="") | Q(call=F("id")), name="audit_event_without_phase_is_no_call"
                    ),
                ),
            ],
        )
    ]
