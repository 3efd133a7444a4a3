from django.apps import AppConfig


class KontextConfig(AppConfig):
    name = "kontext"
    verbose_name = "Kontext"
