from django.apps import AppConfig


class ConnectionsConfig(AppConfig):
    name = "connections"
    verbose_name = "Connections"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from connections.resources import find_gateway_resource
        from orgs.oauth.resources import register_resource_finder

        register_resource_finder(find_gateway_resource)
