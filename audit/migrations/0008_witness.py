import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

# A witness that forgot, or went back, could be made to sign a fork.
REFUSE = """
CREATE FUNCTION audit_refuse_fork() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.origin <> OLD.origin OR NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root) THEN
        RAISE EXCEPTION 'a witness signs one history of a log: this change is refused'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_one_history BEFORE UPDATE ON audit_witnessedlog FOR EACH ROW EXECUTE FUNCTION audit_refuse_fork();
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_witnessedlog FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_witnessedlog
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_cosignature
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_cosignature
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""
ALLOW = """
DROP TRIGGER audit_no_truncate ON audit_cosignature;
DROP TRIGGER audit_append_only ON audit_cosignature;
DROP TRIGGER audit_no_truncate ON audit_witnessedlog;
DROP TRIGGER audit_no_delete ON audit_witnessedlog;
DROP TRIGGER audit_one_history ON audit_witnessedlog;
DROP FUNCTION audit_refuse_fork();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0007_payloads'),
    ]

    operations = [
        migrations.CreateModel(
            name='WitnessedLog',
            fields=[
                ('origin', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('size', models.BigIntegerField(default=0)),
                ('root', models.BinaryField(default=b"\xe3\xb0\xc4B\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99o\xb9$'\xaeA\xe4d\x9b\x93L\xa4\x95\x99\x1bxR\xb8U")),
                ('note', models.TextField(blank=True, default='')),
                ('cosigned_at', models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name='Cosignature',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('witness', models.CharField(max_length=255)),
                ('line', models.TextField()),
                ('received_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('checkpoint', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='cosignatures', to='audit.checkpoint')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('checkpoint', 'witness'), name='audit_cosignature_once')],
            },
        ),
        migrations.RunSQL(REFUSE, ALLOW),
    ]
