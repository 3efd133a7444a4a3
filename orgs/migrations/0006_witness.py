import orgs.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orgs', '0005_capture'),
    ]

    operations = [
        migrations.CreateModel(
            name='WitnessKey',
            fields=[
                ('id', models.UUIDField(default=orgs.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=255)),
                ('public_key', models.BinaryField(unique=True)),
                ('private_key', models.BinaryField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
