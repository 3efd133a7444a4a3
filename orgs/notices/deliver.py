"""One try to bring a notice to where it goes. Nothing is written here, and no transaction is open."""

from __future__ import annotations

import json
import time
from http import HTTPStatus

from django.conf import settings

from orgs.models import Delivery, Notice, NoticePlace
from orgs.notices.errors import DeliveryError, RefusedForGoodError
from orgs.notices.mail import send_mail
from orgs.notices.secrets import open_secrets
from orgs.notices.signing import make_headers
from orgs.outbound import OutboundError, send
from orgs.vault import VaultError


def deliver(delivery: Delivery) -> None:
    """Return once the other side has it. `delivery` has its notice, place and organization loaded.

    Raises DeliveryError.
    """
    place = delivery.place
    if place is not None and place.means == NoticePlace.Means.WEBHOOK:
        _post(place, delivery.notice)
    else:
        _mail(delivery)


def make_body(notice: Notice) -> bytes:
    """Return what every webhook gets of a notice: the same bytes on each try."""
    document = {
        "type": notice.kind,
        "timestamp": notice.created_at.isoformat().replace("+00:00", "Z"),
        "data": {
            "organization": {"id": str(notice.organization_id), "slug": notice.organization.slug},
            "subject": notice.subject,
            "text": notice.text,
            "url": _make_link(notice),
            **notice.data,
        },
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()


def _post(place: NoticePlace, notice: Notice) -> None:
    body = make_body(notice)
    try:
        headers = make_headers(str(notice.pk), int(time.time()), body, open_secrets(place))
        response = send("POST", place.address, headers=headers, body=body)
    except OutboundError as error:
        raise DeliveryError(str(error)) from None
    except VaultError as error:
        raise DeliveryError(f"the signing secret can't be opened: {error}") from None
    if response.status == HTTPStatus.GONE:
        raise RefusedForGoodError("it answered HTTP 410: nobody listens there any more")
    if 300 <= response.status < 400:
        raise DeliveryError(f"it answered HTTP {response.status}: enter the address that this leads to")
    if not 200 <= response.status < 300:
        raise DeliveryError(f"it answered HTTP {response.status}")


def _mail(delivery: Delivery) -> None:
    notice = delivery.notice
    link = _make_link(notice)
    parts = [notice.text, *([link] if link else []), f"{notice.organization} at {settings.PUBLIC_URL}"]
    send_mail(
        address=delivery.address, subject=notice.subject, text="\n\n".join(parts) + "\n", message_id=str(delivery.pk)
    )


def _make_link(notice: Notice) -> str:
    return f"{settings.PUBLIC_URL}{notice.path}" if notice.path else ""
