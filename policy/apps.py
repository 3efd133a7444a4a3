from django.apps import AppConfig
from django.db.models.signals import pre_delete


class PolicyConfig(AppConfig):
    name = "policy"
    verbose_name = "Policy"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from orgs.api.errors import register_refusal
        from orgs.oauth.consent import register_beginnings
        from policy.consent import StartingSets
        from policy.errors import NotAllowedToAnswerError, NotAllowedToAuthorError, SettledError
        from policy.models import Rule
        from policy.receivers import record_cascade

        register_refusal(NotAllowedToAuthorError, status=403)
        register_beginnings(StartingSets())
        register_refusal(NotAllowedToAnswerError, status=403)
        register_refusal(SettledError, status=409)
        pre_delete.connect(record_cascade, sender=Rule)
