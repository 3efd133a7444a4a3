"""People with a password of this installation: administrators who must get in when no identity provider does."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.http import make_actor
from orgs.models import User
from orgs.services.suspend_person import update_admin_access


def set_local_account(
    *,
    username: str,
    name: str,
    email: str,
    password: str | None = None,
    is_superuser: bool = False,
    user: User | None = None,
    actor: Actor | None = None,
) -> User:
    """Create a person who signs in with a password, or change one. Without a password, the one stored stays.

    A new password ends the person's other sessions. Raises ValidationError, keyed by field.
    """
    account = user or User()
    is_new = account._state.adding
    account.username, account.name, account.email = username.strip(), name.strip(), email.strip()
    _check_superuser(account, is_superuser, is_new)
    account.is_superuser = is_superuser
    if password is not None:
        _check_password(password, account)
        account.set_password(password)
    elif is_new:
        raise ValidationError({"password": ["Give a password: nobody else can sign this person in."]})
    account.full_clean()
    with transaction.atomic():
        account.save()
        update_admin_access(account)
        record_event(
            type=EventType.PERSON_CREATED if is_new else EventType.PERSON_CHANGED,
            organization_id=None,
            actor=actor or make_actor(),
            details={
                "user": str(account.pk),
                "name": str(account),
                "superuser": is_superuser,
                "password_changed": password is not None,
            },
        )
    return account


def _check_superuser(account: User, is_superuser: bool, is_new: bool) -> None:
    if is_new or is_superuser or not account.is_superuser:
        return
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=account.pk)
    if not others.exists():
        raise ValidationError({"is_superuser": ["This is the installation's last administrator: name another first."]})


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from None
