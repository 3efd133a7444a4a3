"""Which scopes an application may ask for at all; consent, resource and policy narrow them further."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from oauth2_provider.scopes import SettingsScopes

from orgs.models import Application
from orgs.oauth.resources import DECISION_SCOPE, INVOKE_SCOPE, MANAGEMENT_SCOPE


class Scopes(SettingsScopes):
    """An application that registered itself can't manage or ask for decisions; one without a person can't manage."""

    def get_available_scopes(
        self, application: Application | None = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        scopes: list[str] = super().get_available_scopes(application, request, *args, **kwargs)
        if application is None:
            return scopes
        is_registered = application.registration_source == Application.RegistrationSource.MANUAL
        if getattr(request, "grant_type", None) == "client_credentials":
            return [INVOKE_SCOPE, *([DECISION_SCOPE] if is_registered else [])]
        if not is_registered:
            return [scope for scope in scopes if scope not in (MANAGEMENT_SCOPE, DECISION_SCOPE)]
        return scopes


def describe_scopes(scopes: Iterable[str]) -> list[str]:
    """Return what each scope means to the person who is asked for it."""
    return [settings.OAUTH2_PROVIDER["SCOPES"][scope] for scope in scopes]
