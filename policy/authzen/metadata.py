"""Where a policy enforcement point finds the endpoints, and how it gets a token for them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from orgs.oauth.answers import readable_anywhere
from orgs.oauth.resources import DECISION_SCOPE, get_decision_resource

_ENDPOINTS = {
    "access_evaluation_endpoint": "evaluation",
    "access_evaluations_endpoint": "evaluations",
    "search_subject_endpoint": "search-subject",
    "search_resource_endpoint": "search-resource",
    "search_action_endpoint": "search-action",
}


@readable_anywhere
@require_safe
def configuration(request: HttpRequest) -> HttpResponse:
    """Answer with the metadata of section 9.1 of the specification."""
    endpoints = {key: f"{settings.PUBLIC_URL}{reverse(f'authzen:{name}')}" for key, name in _ENDPOINTS.items()}
    return _answer({"policy_decision_point": settings.PUBLIC_URL, **endpoints})


@readable_anywhere
@require_safe
def protected_resource(request: HttpRequest) -> HttpResponse:
    """Answer with the metadata of RFC 9728."""
    return _answer(
        {
            "resource": get_decision_resource(),
            "resource_name": "Kontext decisions",
            "authorization_servers": [settings.PUBLIC_URL],
            "scopes_supported": [DECISION_SCOPE],
            "bearer_methods_supported": ["header"],
        }
    )


def _answer(document: dict[str, Any]) -> HttpResponse:
    response = JsonResponse(document)
    response["Cache-Control"] = "public, max-age=300"
    return response
