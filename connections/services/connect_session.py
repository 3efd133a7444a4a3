"""Connect sessions: who may go on with one, and that each is used once."""

from __future__ import annotations

import hmac
from uuid import UUID

from django.utils import timezone

from audit.services.record import Actor
from audit.types import EventType
from connections.errors import CallbackError, ConnectLinkEndedError, ConnectLinkError
from connections.models import ConnectSession, Integration
from connections.sealing import digest_secret
from connections.services.events import record_integration_event
from orgs.http import make_actor
from orgs.models import Membership, User

_ENDED = "this link was used or is too old: begin again"


def get_session(*, token: str, user: User, actor: Actor | None = None) -> ConnectSession:
    """Return the live session behind a connect link, for the person it was made for.

    Raises ConnectLinkError. Another person's attempt is recorded, and learns nothing.
    """
    rows = ConnectSession.objects.select_related("integration", "organization", "user", "application")
    session = rows.filter(token_digest=digest_secret(token)).first()
    if session is None:
        raise ConnectLinkError("there is no such link")
    _check_person(session, user, actor)
    _check_live(session)
    return session


def get_session_by_state(*, state: str, user: User, browser: str, actor: Actor | None = None) -> ConnectSession:
    """Return the session whose browser comes back from the integration.

    Raises CallbackError for a state that is unknown, spent or too old, for another person, and for another browser than
    the one that set out: who can make somebody else open a callback must not connect them to an account of his.
    """
    rows = ConnectSession.objects.select_related("integration", "organization", "user", "application")
    session = rows.filter(state_digest=digest_secret(state)).first() if state else None
    if session is None:
        raise CallbackError("this answer belongs to no connection that was begun here, or was already used")
    try:
        _check_person(session, user, actor)
        _check_live(session)
    except ConnectLinkError as error:
        raise CallbackError(str(error)) from None
    if not session.browser_digest or not hmac.compare_digest(session.browser_digest, digest_secret(browser)):
        _record_refusal(session, user, actor, "another browser")
        raise CallbackError("the connection was begun in another browser: finish it there, or begin again here")
    return session


def get_session_to_decide(*, session_id: UUID, user: User, actor: Actor | None = None) -> ConnectSession:
    """Return the session in which this person has two accounts to choose from. Raises ConnectLinkError."""
    rows = ConnectSession.objects.select_related("integration", "organization", "user", "application")
    session = rows.filter(pk=session_id).first()
    if session is None:
        raise ConnectLinkError("there is no such question")
    _check_person(session, user, actor)
    _check_live(session)
    if not session.held_credential:
        raise ConnectLinkEndedError("there is nothing to decide any more")
    return session


def take_state(session: ConnectSession) -> None:
    """Spend the state: of two callbacks that bring it, one goes on. Raises CallbackError for the other."""
    rows = ConnectSession.objects.filter(pk=session.pk, state_digest=session.state_digest, used_at__isnull=True)
    if not session.state_digest or not rows.update(state_digest=None):
        raise CallbackError("this answer was already used")


def use_session(session: ConnectSession) -> None:
    """Use the session up, in the caller's transaction. Raises ConnectLinkError when somebody else just did."""
    rows = ConnectSession.objects.filter(pk=session.pk, used_at__isnull=True, expires_at__gt=timezone.now())
    if not rows.update(used_at=timezone.now(), state_digest=None, code_verifier=b"", held_credential=b""):
        raise ConnectLinkEndedError(_ENDED)


def _check_person(session: ConnectSession, user: User, actor: Actor | None) -> None:
    memberships = Membership.objects.active().filter(user=user, organization=session.organization_id)
    if session.user_id == user.pk and memberships.exists():
        return
    _record_refusal(session, user, actor, "another person")
    raise ConnectLinkError("this link was made for another person")


def _check_live(session: ConnectSession) -> None:
    if session.used_at is not None or session.expires_at <= timezone.now():
        raise ConnectLinkEndedError(_ENDED)
    if session.integration.status != Integration.Status.ACTIVE:
        raise ConnectLinkEndedError("the integration is not in use any more")


def _record_refusal(session: ConnectSession, user: User, actor: Actor | None, reason: str) -> None:
    record_integration_event(
        EventType.CONNECTION_REFUSED,
        session.integration,
        actor=actor or make_actor(user=user),
        outcome="denied",
        session=str(session.pk),
        made_for=str(session.user_id),
        reason=reason,
    )
