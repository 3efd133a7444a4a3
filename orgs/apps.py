from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    name = "orgs"
    verbose_name = "Organizations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from orgs.alerts.kinds import KINDS
        from orgs.notices.kinds import register_kinds

        register_kinds(*KINDS)
