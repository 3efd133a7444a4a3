"""Every error of the API in one shape: {message, statusCode, code, requestId}, and what is wrong with each field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from audit.services.record import record_event
from audit.types import EventType
from orgs.api.access import Access
from orgs.api.names import to_field
from orgs.errors import OrgsError
from orgs.http import get_request_id
from orgs.models import IssuedToken

_SAFE = ("GET", "HEAD", "OPTIONS")


class ManagementError(exceptions.APIException):
    """A refusal with a code of ours. `message` says what happened and what to do, and holds no secret."""

    status_code = 400
    code = "kontext_validation_error"
    message = "The request can't be understood."

    def __init__(self, message: str = "", *, fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(message or self.message)
        self.message = message or self.message
        self.fields = dict(fields or {})


class AuthorizationRequiredError(ManagementError):
    status_code = 401
    code = "kontext_authorization_required"
    message = "Send an access token for this API: Authorization: Bearer … (docs/api.md says how to get one)."


class InvalidTokenError(AuthorizationRequiredError):
    challenge = "invalid_token"
    message = (
        "The access token is unknown, expired, revoked or not for this API: get a new one for the resource "
        "that the WWW-Authenticate header leads to."
    )


class InsufficientScopeError(ManagementError):
    status_code = 403
    code = "kontext_insufficient_scope"
    challenge = "insufficient_scope"
    message = "The access token lacks the scope management:all: ask the person for it in a new authorization."


class DelegationPausedError(ManagementError):
    status_code = 403
    code = "kontext_delegation_paused"

    def __init__(self, issued: IssuedToken) -> None:
        page = f"{settings.PUBLIC_URL}/applications/{issued.application_id}/"
        super().__init__(f"{issued.user} has paused {issued.application}: they can resume it at {page}")


class ForbiddenError(ManagementError):
    status_code = 403
    code = "kontext_forbidden"
    message = "Your role in this organization does not allow this."


class NotFoundError(ManagementError):
    status_code = 404
    code = "kontext_not_found"
    message = "There is nothing with this identifier in your organization."


class ConflictError(ManagementError):
    status_code = 409
    code = "kontext_conflict"
    message = "What this request is about changed at the same moment, or exists already: read it again, then retry."


class TooManyRequestsError(ManagementError):
    status_code = 429
    code = "kontext_rate_limited"

    def __init__(self, wait: int) -> None:
        super().__init__(f"Too many requests: try again in {wait} seconds.")
        self.wait = wait


class UnavailableError(ManagementError):
    status_code = 503
    code = "kontext_unavailable"
    message = "Kontext can't reach its database at the moment: nothing was changed. Try again in a few seconds."
    wait = 5


class BodyTooLargeError(ManagementError):
    code = "kontext_body_too_large"
    message = "The body is larger than one megabyte: send less at once."


class MalformedBodyError(ManagementError):
    code = "kontext_malformed_body"
    message = "The body is not a JSON object."


class UnsupportedMediaTypeError(ManagementError):
    status_code = 415
    code = "kontext_unsupported_media_type"
    message = "Send the body as application/json."


class MethodNotAllowedError(ManagementError):
    status_code = 405
    code = "kontext_method_not_allowed"
    message = "This address does not take this method: see /api/v1/docs."


# Refusals of services by their class, with the status they are answered with unless their code has one.
_refusals: list[tuple[type[Exception], int]] = [(OrgsError, 400)]
_STATUS_BY_CODE = {"kontext_not_found": 404, "kontext_last_owner": 409, "kontext_unavailable": 503}
_STATUS_BY_CODE |= dict.fromkeys(("kontext_payload_erased", "kontext_payload_unreadable"), 404)
_TRANSLATIONS: list[tuple[tuple[type[BaseException], ...], type[ManagementError]]] = [
    ((RequestDataTooBig,), BodyTooLargeError),
    ((UnreadablePostError, exceptions.ParseError), MalformedBodyError),
    ((exceptions.NotAuthenticated, exceptions.AuthenticationFailed), AuthorizationRequiredError),
    # A service that locks a row finds it gone when somebody deleted it since it was looked up.
    ((Http404, exceptions.NotFound, ObjectDoesNotExist), NotFoundError),
    ((PermissionDenied, exceptions.PermissionDenied), ForbiddenError),
    ((exceptions.MethodNotAllowed,), MethodNotAllowedError),
    ((exceptions.UnsupportedMediaType,), UnsupportedMediaTypeError),
    ((IntegrityError,), ConflictError),
    ((OperationalError, InterfaceError), UnavailableError),
]


def register_refusal(base: type[Exception], *, status: int) -> None:
    """Answer what a floor's services raise with `status` and the code each carries. Register a base before others."""
    if (base, status) not in _refusals:
        _refusals.insert(0, (base, status))


def handle_exception(exception: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer settings.REST_FRAMEWORK's EXCEPTION_HANDLER. None is for what nobody foresaw: 500 by handler500."""
    error = _translate(exception)
    if error is None:
        return None
    response = Response(describe(error), status=error.status_code, headers=_get_headers(error))
    _record_refusal(error, context)
    return response


def describe(error: ManagementError) -> dict[str, Any]:
    described: dict[str, Any] = {
        "message": error.message,
        "statusCode": error.status_code,
        "code": error.code,
        "requestId": get_request_id(),
    }
    return {**described, "fields": error.fields} if error.fields else described


def _translate(exception: Exception) -> ManagementError | None:
    if isinstance(exception, ManagementError):
        return exception
    if isinstance(exception, exceptions.ValidationError):
        return _invalid(dict(_flatten(exception.detail)))
    if isinstance(exception, ModelValidationError):
        return _invalid(_read_model_errors(exception))
    refusal = _translate_refusal(exception)
    if refusal is not None:
        return refusal
    return next((error() for classes, error in _TRANSLATIONS if isinstance(exception, classes)), None)


def _translate_refusal(exception: Exception) -> ManagementError | None:
    for base, status in _refusals:
        if isinstance(exception, base):
            text = str(exception)
            error = ManagementError(f"{text[:1].upper()}{text[1:]}.")
            error.code = getattr(exception, "code", ManagementError.code)
            error.status_code = _STATUS_BY_CODE.get(error.code, status)
            return error
    return None


def _invalid(fields: dict[str, list[str]]) -> ManagementError:
    general = fields.pop("", [])
    named = f"The request has problems in: {', '.join(list(fields)[:10])}." if fields else ""
    return ManagementError(" ".join(filter(None, [*general, named])), fields=fields)


def _flatten(detail: Any, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the path to each field and its texts: {"redirectUris": {0: [..]}} as "redirectUris.0"."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _flatten(inner, f"{path}.{name}".strip("."))
    elif isinstance(detail, list) and any(isinstance(inner, Mapping | list) for inner in detail):
        for number, inner in enumerate(detail):
            yield from _flatten(inner, f"{path}.{number}".strip("."))
    elif detail:
        yield path, [str(text) for text in (detail if isinstance(detail, list) else [detail])]


def _read_model_errors(exception: ModelValidationError) -> dict[str, list[str]]:
    if not hasattr(exception, "error_dict"):
        return {"": list(exception.messages)}
    return {
        "" if name == "__all__" else to_field(name): [str(text) for text in texts]
        for name, texts in exception.message_dict.items()
    }


def _get_headers(error: ManagementError) -> dict[str, str]:
    from orgs.api.authentication import make_challenge

    headers = {}
    if isinstance(error, AuthorizationRequiredError | InsufficientScopeError):
        headers["WWW-Authenticate"] = make_challenge(getattr(error, "challenge", ""))
    if wait := getattr(error, "wait", 0):
        headers["Retry-After"] = str(wait)
    return headers


def _record_refusal(error: ManagementError, context: Mapping[str, Any]) -> None:
    """A refused attempt to change something is part of the organization's story, whoever it was."""
    request = context["request"]
    access = request.auth if error.status_code not in (401, 429, 503) else None
    if not isinstance(access, Access) or request.method in _SAFE:
        return
    record_event(
        type=EventType.MANAGEMENT_REFUSED,
        organization_id=access.organization.pk,
        outcome="denied",
        actor=access.actor,
        details={
            "method": request.method,
            "route": request.resolver_match.route,
            **{name: str(value) for name, value in request.resolver_match.kwargs.items()},
            "status": error.status_code,
            "code": error.code,
        },
    )
