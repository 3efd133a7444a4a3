"""A payload can also be deleted when its event is gone: with a month of the log goes what was kept beside it."""

from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION audit_refuse_unless_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM audit_payloadkey WHERE id = OLD.key_id AND erased_at IS NULL) {} THEN
        RAISE EXCEPTION 'a payload can be deleted only when its key was erased{}'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;
"""
AND_EVENT = "AND EXISTS (SELECT FROM audit_auditevent WHERE call = OLD.call AND phase = OLD.phase)"


class Migration(migrations.Migration):
    dependencies = [("audit", "0008_witness")]
    operations = [migrations.RunSQL(FUNCTION.format(AND_EVENT, ", or its event is gone"), FUNCTION.format("", ""))]
