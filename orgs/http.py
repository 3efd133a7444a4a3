"""What every request carries: an ID that pages, errors and audit events name, and where it came from."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from audit.services.record import Actor
from orgs.ids import uuid7

_GIVEN_ID = re.compile(r"\A[A-Za-z0-9._-]{8,64}\Z")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """Facts of the HTTP request being served, for code that isn't handed the request."""

    request_id: str = ""
    source_address: str | None = None


_NO_REQUEST = RequestInfo()
_current: ContextVar[RequestInfo] = ContextVar("request_info", default=_NO_REQUEST)


class RequestIdMiddleware:
    """Give each request an ID (or keep the caller's, when it looks like one) and answer with it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        info = RequestInfo(given if _GIVEN_ID.match(given) else str(uuid7()), get_source_address(request))
        request.request_id = info.request_id  # type: ignore[attr-defined]
        token = _current.set(info)
        try:
            response = self.get_response(request)
        finally:
            _current.reset(token)
        response.headers.setdefault("X-Request-ID", info.request_id)
        return response


def get_request_id() -> str:
    return _current.get().request_id


def get_source_address(request: HttpRequest) -> str | None:
    """Return the peer's address, or behind a trusted proxy what that proxy appended: earlier hops may be invented."""
    address = request.META.get("REMOTE_ADDR", "")
    if settings.TRUST_PROXY:
        address = request.headers.get("X-Forwarded-For", address).rpartition(",")[2].strip()
    try:
        # One with a zone (fe80::1%eth0) means something on one machine alone, and PostgreSQL has no place for it.
        return str(ip_address(address)) if "%" not in address else None
    except ValueError:
        return None


def make_actor(*, user: Any = None, application: Any = None) -> Actor:
    """Return the actor of an audit event: this user, this application, from the request being served."""
    info = _current.get()
    is_person = user is not None and user.is_authenticated
    return Actor(
        user_id=user.pk if is_person else None,
        user_name=str(user)[:255] if is_person else "",
        application_id=application.pk if application is not None else None,
        application_name=str(application)[:255] if application is not None else "",
        source_address=info.source_address,
        request_id=info.request_id,
    )
