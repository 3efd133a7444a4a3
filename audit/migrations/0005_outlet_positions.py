import django.db.models.deletion
from django.db import migrations, models

# Both destinations that there were shared one position. Checked at once: PostgreSQL alters no table that waits for checks.
SPREAD = """
SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO audit_outlet (name) SELECT name FROM (VALUES ('file'), ('http')) AS former (name)
    WHERE EXISTS (SELECT FROM audit_tree WHERE streamed_size > 0);
INSERT INTO audit_outletposition (outlet_id, tree_id, size, failures, error)
    SELECT o.name, t.id, t.streamed_size, 0, '' FROM audit_outlet o, audit_tree t WHERE t.streamed_size > 0;
"""
# What one of them has and the other has not is sent again.
GATHER = """
UPDATE audit_tree t SET streamed_size = p.size FROM (
    SELECT tree_id, min(size) AS size FROM audit_outletposition WHERE outlet_id IN ('file', 'http') GROUP BY tree_id
) p WHERE p.tree_id = t.id;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0004_streamed_size'),
    ]

    operations = [
        migrations.CreateModel(
            name='Outlet',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('busy_until', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='OutletPosition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('size', models.BigIntegerField(default=0)),
                ('delivered_at', models.DateTimeField(blank=True, null=True)),
                ('failures', models.IntegerField(default=0)),
                ('failing_since', models.DateTimeField(blank=True, null=True)),
                ('retry_at', models.DateTimeField(blank=True, null=True)),
                ('error', models.CharField(blank=True, default='', max_length=255)),
                ('outlet', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='positions', to='audit.outlet')),
                ('tree', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='audit.tree')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('outlet', 'tree'), name='audit_outlet_one_position_per_tree')],
            },
        ),
        migrations.RunSQL(SPREAD, GATHER),
        migrations.RemoveField(
            model_name='tree',
            name='streamed_size',
        ),
    ]
