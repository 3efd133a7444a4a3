"""A webhook's signing secrets at rest: sealed, and of no use at another place."""

from __future__ import annotations

from django.utils import timezone

from orgs.models import NoticePlace
from orgs.vault import decrypt, encrypt


def seal_secret(place: NoticePlace, secret: str) -> bytes:
    return encrypt(place.organization_id, secret.encode(), associated_data=_bind(place))


def open_secrets(place: NoticePlace) -> list[str]:
    """Return the secret, and the former one for as long as it holds, too."""
    sealed = [place.secret]
    if place.former_until is not None and place.former_until > timezone.now():
        sealed.append(place.former_secret)
    return [decrypt(place.organization_id, one, associated_data=_bind(place)).decode() for one in sealed]


def _bind(place: NoticePlace) -> bytes:
    return f"notice-place:{place.pk}".encode()
