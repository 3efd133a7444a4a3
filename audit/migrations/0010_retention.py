import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

APPEND_ONLY = """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_retentionstatement
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_retentionstatement
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""
DROP_TRIGGERS = """
DROP TRIGGER audit_no_truncate ON audit_retentionstatement;
DROP TRIGGER audit_append_only ON audit_retentionstatement;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0009_payloads_of_dropped_events'),
    ]

    operations = [
        migrations.CreateModel(
            name='RetentionStatement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('month', models.CharField(max_length=16)),
                ('lower', models.UUIDField()),
                ('upper', models.UUIDField()),
                ('note', models.TextField()),
                ('dropped_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('tree', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='audit.tree')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('tree', 'lower'), name='audit_retention_once_per_month')],
            },
        ),
        migrations.RunSQL(APPEND_ONLY, DROP_TRIGGERS),
    ]
