"""Where an organization is told: e-mail addresses, and webhooks with their signing secrets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor, record_event
from audit.types import EventType
from orgs.errors import OrgsError
from orgs.http import make_actor
from orgs.limits import Limit, record_use
from orgs.models import Delivery, NoticePlace, Organization
from orgs.notices.kinds import TEST, is_kind
from orgs.notices.secrets import seal_secret
from orgs.notices.signing import make_secret
from orgs.services.give_notice import give_notice_to
from orgs.services.send_notices import send_notice

MOST_PLACES = 20
FORMER_HOLDS = dt.timedelta(days=1)
# Each goes to an address that may be anybody's.
_TESTS = Limit("notice-tests", 10, 600)


@dataclass(frozen=True, slots=True)
class SetPlace:
    """`secret` is a new webhook's; there is no later moment to read it."""

    place: NoticePlace
    secret: str = field(default="", repr=False)


def set_notice_place(
    *,
    organization: Organization,
    name: str,
    means: str,
    address: str,
    kinds: Collection[str] = (),
    is_enabled: bool = True,
    place: NoticePlace | None = None,
    actor: Actor | None = None,
) -> SetPlace:
    """Add a place, or change the one given, whose means stay. Raises ValidationError, keyed by field."""
    row = place or NoticePlace(organization=organization, means=means)
    before = _describe(row) if place is not None else None
    row.name, row.address, row.is_enabled = name.strip(), _read_address(row.means, address), is_enabled
    row.kinds = sorted(set(kinds))
    if not all(is_kind(kind) for kind in row.kinds):
        raise ValidationError({"kinds": "Choose kinds of notice that there are."})
    secret = make_secret() if place is None and row.means == NoticePlace.Means.WEBHOOK else ""
    if secret:
        row.secret = seal_secret(row, secret)
    with transaction.atomic():
        # Locked: of two who add the last one, one is refused.
        Organization.objects.select_for_update().get(pk=organization.pk)
        if place is None and organization.notice_places.count() >= MOST_PLACES:
            raise ValidationError(f"An organization has at most {MOST_PLACES} places. Delete one that isn't needed.")
        row.full_clean()
        if before is not None and before == _describe(row):
            return SetPlace(row)
        row.save()
        _record(row, actor, verb="changed" if place else "added", **({"before": before} if before else {}))
    return SetPlace(row, secret)


def delete_notice_place(*, place: NoticePlace, actor: Actor | None = None) -> None:
    """Delete a place. What is on its way there does not arrive any more."""
    with transaction.atomic():
        _record(place, actor, verb="deleted")
        place.delete()


def rotate_notice_secret(*, place: NoticePlace, actor: Actor | None = None) -> str:
    """Give a webhook a new signing secret and return it; for a day messages are signed with the former one, too."""
    if place.means != NoticePlace.Means.WEBHOOK:
        raise ValidationError("Only webhooks are signed.")
    secret = make_secret()
    with transaction.atomic():
        current = NoticePlace.objects.select_for_update().get(pk=place.pk)
        current.former_secret, current.former_until = current.secret, timezone.now() + FORMER_HOLDS
        current.secret = seal_secret(current, secret)
        current.save(update_fields=["secret", "former_secret", "former_until"])
        _record(current, actor, verb="secret rotated")
    return secret


def try_notice_place(*, place: NoticePlace) -> Delivery:
    """Send a notice there now, and return what became of it. What doesn't arrive is tried again like any other.

    Raises OrgsError where there were too many tests.
    """
    if record_use(_TESTS, str(place.organization_id)):
        raise OrgsError("too many tests: wait ten minutes, and look at the deliveries meanwhile")
    subject, text = f"Kontext can reach {place}", "This is a test. Somebody in the administration asked for it."
    delivery = give_notice_to(place=place, kind=TEST, subject=subject, text=text)
    return send_notice(delivery_id=delivery.pk) or delivery


def _read_address(means: str, address: str) -> str:
    address = address.strip()
    try:
        if means == NoticePlace.Means.EMAIL:
            validate_email(address)
        else:
            _check_url(address)
    except ValidationError as error:
        raise ValidationError({"address": error.messages}) from None
    return address


def _check_url(address: str) -> None:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValidationError("Enter the webhook's URL.") from None
    schemes = ("https", "http") if settings.ALLOW_PRIVATE_NETWORKS else ("https",)
    if parts.scheme not in schemes or not host or "@" in parts.netloc or parts.fragment:
        raise ValidationError("The webhook must be an https URL without a user name and without a fragment.")
    if not address.isascii() or any(character <= " " or character in '\\"<>^`{|}\x7f' for character in address):
        raise ValidationError("A URL must not hold spaces, control characters or unescaped special characters.")


def _describe(place: NoticePlace) -> dict[str, object]:
    return {
        "name": place.name,
        "means": place.means,
        "address": _without_query(place),
        "kinds": list(place.kinds),
        "is_enabled": place.is_enabled,
    }


def _without_query(place: NoticePlace) -> str:
    """Return what may be in the record of an address: a webhook's query may hold a secret of its receiver."""
    return place.address.partition("?")[0] if place.means == NoticePlace.Means.WEBHOOK else place.address


def _record(place: NoticePlace, actor: Actor | None, *, verb: str, **details: object) -> None:
    record_event(
        type=EventType.NOTICE_PLACE_CHANGED,
        organization_id=place.organization_id,
        actor=actor or make_actor(),
        details={"place": str(place.pk), "verb": verb, **_describe(place), **details},
    )
