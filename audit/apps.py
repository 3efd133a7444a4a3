from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "Audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(_make_partitions, sender=self)


def _make_partitions(**_options: Any) -> None:
    from audit.partitions import is_partitioned, make_partitions

    if is_partitioned():  # not yet, or no longer, where the migrations stop before that
        make_partitions()
