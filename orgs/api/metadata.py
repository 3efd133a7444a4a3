"""Where a client that knows only the API's address finds out how to get a token for it (RFC 9728)."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from orgs.oauth.answers import readable_anywhere
from orgs.oauth.resources import MANAGEMENT_SCOPE, get_management_resource


@readable_anywhere
@require_safe
def protected_resource(request: HttpRequest) -> HttpResponse:
    document = {
        "resource": get_management_resource(),
        "resource_name": "Kontext management API",
        "authorization_servers": [settings.PUBLIC_URL],
        "scopes_supported": [MANAGEMENT_SCOPE],
        "bearer_methods_supported": ["header"],
        "resource_documentation": f"{settings.PUBLIC_URL}{reverse('management:docs')}",
    }
    response = JsonResponse(document)
    response["Cache-Control"] = "public, max-age=300"
    return response
