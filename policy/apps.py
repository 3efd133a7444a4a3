from django.apps import AppConfig


class PolicyConfig(AppConfig):
    name = "policy"
    verbose_name = "Policy"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from orgs.api.errors import register_refusal
        from policy.errors import NotAllowedToAuthorError

        register_refusal(NotAllowedToAuthorError, status=403)
