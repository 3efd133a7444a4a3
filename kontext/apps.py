from django.apps import AppConfig


class KontextConfig(AppConfig):
    name = "kontext"
    verbose_name = "Kontext"

    def ready(self) -> None:
        from kontext import (
            celery,  # noqa: F401 (tasks are bound to the first Celery application made in a process)
            checks,  # noqa: F401 (registers the system checks)
        )
