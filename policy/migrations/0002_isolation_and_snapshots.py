"""References stay inside an organization; the data plane hears of changes."""

from django.db import migrations

from orgs.migration_operations import same_organization, watched


def inside(column: str, target: str, target_column: str = "id") -> migrations.RunSQL:
    return same_organization(table="policy_rule", column=column, target=target, target_column=target_column)


class Migration(migrations.Migration):
    dependencies = [("policy", "0001_initial"), ("connections", "0002_isolation_and_snapshots")]
    operations = [
        inside("user_id", "orgs_membership", "user_id"),
        inside("group_id", "orgs_group"),
        inside("application_id", "orgs_application"),
        inside("integration_id", "connections_integration"),
        *watched("policy_rule"),
        *watched("policy_baseline"),
    ]
