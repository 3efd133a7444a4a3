from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from gateway.exchange import GRANT_TYPE, exchange_token
        from orgs.oauth.grants import register_grant

        register_grant(GRANT_TYPE, exchange_token)
