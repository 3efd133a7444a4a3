"""What a product's server calls, to have its person connect their accounts."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from connections.errors import ConnectionsError, EgressError, PartnerRefusedError, PersonUnknownError
from connections.services.invite_partner_person import invite_partner_person
from orgs.errors import say
from orgs.http import get_request_id, get_source_address
from orgs.limits import Limit, is_exceeded, record_use

_FAILURES = Limit("partner-failures", uses=20)
_MAX_BODY_BYTES = 8 * 1024
_STATUSES: list[tuple[type[ConnectionsError], int]] = [
    (PartnerRefusedError, 401),
    (PersonUnknownError, 403),
    (EgressError, 502),
    (ConnectionsError, 400),
]


@csrf_exempt
@never_cache
@require_POST
def connect_session(request: HttpRequest) -> HttpResponse:
    """Answer `{applicationId, returnUrl}` with `{connectUrl}`, for the person whom the bearer token names.

    No cookie counts here: the product proves itself by X-Api-Key.
    """
    source = str(get_source_address(request) or "")
    if is_exceeded(_FAILURES, source):
        return _refuse("Too many attempts failed: wait a minute.", 429, "kontext_rate_limited")
    given = _read(request)
    if given is None:
        text = 'The body must be a JSON object with "applicationId" and perhaps "returnUrl".'
        return _refuse(text, 400, "kontext_validation_error")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        link = invite_partner_person(
            client_id=given["applicationId"],
            api_key=request.headers.get("X-Api-Key", ""),
            token=token.strip() if scheme.lower() == "bearer" else "",
            return_url=given.get("returnUrl", ""),
        )
    except ConnectionsError as error:
        if isinstance(error, PartnerRefusedError):
            record_use(_FAILURES, source)
        status = next(status for kind, status in _STATUSES if isinstance(error, kind))
        return _refuse(say(error), status, error.code)
    answer = {"connectUrl": link.url, "sessionId": str(link.session_id), "expiresAt": link.expires_at.isoformat()}
    return JsonResponse(answer, status=201)


def _read(request: HttpRequest) -> dict[str, str] | None:
    if int(request.headers.get("Content-Length") or 0) > _MAX_BODY_BYTES:
        return None
    try:
        document: Any = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(document, dict)
        or "applicationId" not in document
        or set(document) - {"applicationId", "returnUrl"}
    ):
        return None
    return document if all(isinstance(value, str) for value in document.values()) else None


def _refuse(message: str, status: int, code: str) -> HttpResponse:
    document = {"message": message, "statusCode": status, "code": code, "requestId": get_request_id()}
    return JsonResponse(document, status=status)
