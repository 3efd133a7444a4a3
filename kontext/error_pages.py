"""Answers when something is wrong: for people a page that says what to do, for programs JSON with the same code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import requires_csrf_token

from orgs.http import get_request_id


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    code: str
    message: str
    template: str


BAD_REQUEST = Problem(400, "kontext_validation_error", "The request can't be understood.", "400")
FORBIDDEN = Problem(403, "kontext_forbidden", "You may not do this.", "403")
NOT_FOUND = Problem(404, "kontext_not_found", "There is nothing at this address.", "404")
SERVER_ERROR = Problem(500, "kontext_server_error", "Something went wrong in Kontext.", "500")
CSRF = Problem(403, "kontext_form_expired", "The form could not be verified as sent from this browser.", "csrf")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, BAD_REQUEST)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, SERVER_ERROR)


@requires_csrf_token
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer settings.CSRF_FAILURE_VIEW. `reason` is for developers and stays out of the page."""
    return _answer(request, CSRF)


def _answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    request_id = getattr(request, "request_id", "") or get_request_id()
    if _wants_json(request):
        return JsonResponse(_describe(problem, request_id), status=problem.status)
    context = {"request_id": request_id, "code": problem.code}
    # After a failure of our own the page must not need the database: it is rendered without the request.
    sender = None if problem is SERVER_ERROR else request
    page = render_to_string(f"errors/{problem.template}.html", context, request=sender)
    return HttpResponse(page, status=problem.status)


def _describe(problem: Problem, request_id: str) -> dict[str, Any]:
    return {
        "message": problem.message,
        "statusCode": problem.status,
        "code": problem.code,
        "requestId": request_id,
    }


def _wants_json(request: HttpRequest) -> bool:
    is_for_programs = request.path.startswith(("/api/", "/oauth2/token", "/scim/", "/access/", "/.well-known/"))
    return is_for_programs or not request.accepts("text/html")
