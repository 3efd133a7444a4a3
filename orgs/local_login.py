"""Passwords, for local administrators: limited per address and per name, and every failure is recorded."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import get_source_address, make_actor
from orgs.limits import Limit, find_wait, record_use
from orgs.models import User

PER_ADDRESS = Limit("password-failures", uses=10, seconds=300)
# Higher, since whoever knows a name can use it up: it stops guessing from many addresses.
PER_NAME = Limit("password-failures-of-name", uses=50, seconds=300)


class LimitedModelBackend(ModelBackend):
    """Denies rather than passes on to the next backend, so that a refusal here is final."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        if request is None or username is None or password is None:
            return None
        limits = ((PER_ADDRESS, get_source_address(request) or ""), (PER_NAME, username.lower()))
        if any(find_wait(limit, key) for limit, key in limits):
            _record_refusal("too_many_attempts")
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            for limit, key in limits:
                record_use(limit, key)
            _record_refusal("wrong_password")
            raise PermissionDenied
        assert isinstance(user, User)
        actor = make_actor(user=user)
        record_event(type=EventType.SIGNED_IN, organization_id=None, actor=actor, details={"method": "password"})
        return user


def _record_refusal(reason: str) -> None:
    record_event(
        type=EventType.SIGN_IN_REFUSED,
        organization_id=None,
        outcome="error_auth",
        actor=make_actor(),
        details={"method": "password", "reason": reason},
    )
