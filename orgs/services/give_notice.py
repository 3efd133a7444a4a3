"""Write down that somebody is to be told. It is sent once that is durable (orgs.services.send_notices)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from orgs.models import Delivery, Notice, NoticePlace, User
from orgs.notices.kinds import is_kind

# Line breaks and what changes the direction of writing: names are other people's, and a subject is one line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def give_notice(
    *,
    organization_id: UUID,
    kind: str,
    subject: str,
    text: str,
    path: str = "",
    data: Mapping[str, Any] | None = None,
    person: User | None = None,
) -> Notice:
    """Tell each place of the organization that is told of this kind, and by e-mail the `person` whom it concerns.

    Belongs into the transaction of what it tells of: then neither is there without the other. `path` begins with a
    slash; nothing given here may be a secret.
    """
    if not is_kind(kind):
        raise ValueError(f"{kind} is no registered kind of notice")
    with transaction.atomic():
        notice = _write(organization_id, kind, subject, text, path, data)
        places = NoticePlace.objects.for_organization(organization_id).told_of(kind)
        deliveries = [_make_delivery(notice, place.address, place=place) for place in places]
        if person is not None and person.is_active and person.email:
            deliveries.append(_make_delivery(notice, person.email, user=person))
        Delivery.objects.bulk_create(deliveries)
    return notice


def give_notice_to(*, place: NoticePlace, kind: str, subject: str, text: str, path: str = "") -> Delivery:
    """Tell one place alone, whatever it is told of otherwise."""
    with transaction.atomic():
        notice = _write(place.organization_id, kind, subject, text, path, None)
        delivery = _make_delivery(notice, place.address, place=place)
        delivery.save(force_insert=True)
    return delivery


def as_line(text: str, length: int = 255) -> str:
    """Return a text as one line of at most so many characters."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _write(
    organization_id: UUID, kind: str, subject: str, text: str, path: str, data: Mapping[str, Any] | None
) -> Notice:
    return Notice.objects.create(
        organization_id=organization_id, kind=kind, subject=as_line(subject), text=text, path=path, data=data or {}
    )


def _make_delivery(notice: Notice, address: str, **whom: Any) -> Delivery:
    return Delivery(
        organization_id=notice.organization_id, notice=notice, address=address, due_at=timezone.now(), **whom
    )
