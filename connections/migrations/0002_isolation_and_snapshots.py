"""References stay inside an organization; the data plane hears of changes."""

from django.db import migrations

from orgs.migration_operations import same_organization, watched


def inside(table: str, column: str, target: str, target_column: str = "id") -> migrations.RunSQL:
    return same_organization(table=table, column=column, target=target, target_column=target_column)


class Migration(migrations.Migration):
    dependencies = [("connections", "0001_initial"), ("orgs", "0002_isolation_and_snapshots")]
    operations = [
        inside("connections_oauthclient", "integration_id", "connections_integration"),
        inside("connections_applicationintegration", "integration_id", "connections_integration"),
        inside("connections_applicationintegration", "application_id", "orgs_application"),
        inside("connections_capability", "integration_id", "connections_integration"),
        inside("connections_connection", "integration_id", "connections_integration"),
        inside("connections_connection", "user_id", "orgs_membership", "user_id"),
        inside("connections_credential", "connection_id", "connections_connection"),
        inside("connections_connectsession", "integration_id", "connections_integration"),
        inside("connections_connectsession", "application_id", "orgs_application"),
        inside("connections_connectsession", "user_id", "orgs_membership", "user_id"),
        *watched("connections_integration", ignoring=("discovered_at", "discovery_error")),
        *watched("connections_applicationintegration"),
        *watched("connections_capability", ignoring=("discovered_at",)),
        *watched("connections_connection", ignoring=("refresh_owner", "refresh_deadline", "revocation", "error")),
        *watched("connections_credential", ignoring=("updated_at",)),
    ]
