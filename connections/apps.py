from django.apps import AppConfig


class ConnectionsConfig(AppConfig):
    name = "connections"
    verbose_name = "Connections"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from connections.api.refusals import register_refusals
        from connections.consent import allow_requested_integrations, get_abilities
        from connections.off_boarding import end_connections
        from connections.outbound import dial, send
        from connections.resources import find_gateway_resource
        from connections.services.tell_of_connection import KINDS
        from orgs.notices.kinds import register_kinds
        from orgs.oauth.consent import register_abilities_provider
        from orgs.oauth.resources import register_resource_finder
        from orgs.outbound import register_transport
        from orgs.signals import application_claimed, membership_suspended

        register_refusals()
        register_kinds(*KINDS)
        register_transport(send, dial)
        register_resource_finder(find_gateway_resource)
        register_abilities_provider(get_abilities)
        application_claimed.connect(allow_requested_integrations, dispatch_uid="connections.allow_requested")
        membership_suspended.connect(end_connections, dispatch_uid="connections.end_connections")
