"""The first person of an installation, who can't have been let in by anybody: a signed link for whoever started it."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from orgs.services.create_organization import create_organization

_SALT = "orgs.first-administrator"
_SECONDS_VALID = 24 * 3600


def has_administrator() -> bool:
    return User.objects.filter(is_superuser=True).exists()


def issue_setup_token() -> str:
    """Return a token for /setup/<token>/, good for a day and until the first administrator exists."""
    return signing.dumps("first administrator", salt=_SALT)


def is_setup_token_valid(token: str) -> bool:
    try:
        signing.loads(token, salt=_SALT, max_age=_SECONDS_VALID)
    except signing.BadSignature:
        return False
    return not has_administrator()


def create_first_administrator(
    *, token: str, name: str, email: str, password: str, organization_name: str, organization_slug: str
) -> User:
    """Create the installation's first administrator as owner of its first organization. Works once.

    Raises ValidationError, keyed by field; under `token` when the link is no longer good.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('orgs_first_administrator'))")
        if not is_setup_token_valid(token):
            raise ValidationError({"token": ["This link is no longer good: it was used, or is older than a day."]})
        user = User(username=email.strip().lower(), email=email.strip(), name=name.strip())
        user.is_staff = user.is_superuser = True
        _check_password(password, user)
        user.set_password(password)
        user.full_clean()
        user.save()
        organization = create_organization(
            name=organization_name, slug=organization_slug, owner=user, actor=make_actor(user=user)
        )
        record_event(
            type=EventType.PERSON_CREATED,
            organization_id=organization.pk,
            actor=make_actor(user=user),
            details={"first_administrator": True},
        )
    return user


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from None
