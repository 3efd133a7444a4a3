"""End tokens at once. The toolkit's rows go, and a trigger marks each access token revoked for the data plane."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_grant_model, get_refresh_token_model

from orgs.models import Application, Organization, User

AccessToken = get_access_token_model()
Grant = get_grant_model()
RefreshToken = get_refresh_token_model()


def end_tokens(
    *, application: Application | None = None, user: User | None = None, organization: Organization | None = None
) -> int:
    """End every token and code of what is given (all of it together), and return how many access tokens were live."""
    given = {"application": application, "user": user, "application__organization": organization}
    condition = Q(**{name: value for name, value in given.items() if value is not None})
    if not condition:
        raise ValueError("say whose tokens to end")
    return _end(condition)


def end_token_family(checksum: str, family: UUID | None) -> bool:
    """End an access token and every token refreshed from the same authorization. Tell whether any was live."""
    with transaction.atomic():
        live = RefreshToken.objects.filter(token_family=family, revoked__isnull=True) if family else None
        was_live = live is not None and live.exists()
        RefreshToken.revoke_family(family)
        deleted: int = AccessToken.objects.filter(token_checksum=checksum).delete()[0]
        return was_live or deleted > 0


def _end(condition: Q) -> int:
    now = timezone.now()
    with transaction.atomic():
        Grant.objects.filter(condition).delete()
        # In the toolkit's own order: a refresh that is under way holds its refresh token first.
        RefreshToken.objects.filter(condition, revoked__isnull=True).update(revoked=now, updated=now)
        live: Any = AccessToken.objects.filter(condition)
        count: int = live.filter(expires__gt=now).count()
        live.delete()
    return count
