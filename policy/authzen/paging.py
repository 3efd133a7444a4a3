"""Pages of a search. A token is good for the search it came from alone, and for whoever began it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.core.signing import BadSignature, Signer
from rest_framework.exceptions import ValidationError

from policy.authzen.authentication import Asker

Found = dict[str, str]
_DEFAULT, _MOST = 500, 1000
_ASKED = ("subject", "action", "resource", "context")


def make_page(found: list[Found], *, data: Mapping[str, Any], asker: Asker, path: str) -> dict[str, Any]:
    """Return the response of a search: the page that `data["page"]` asks for, and the token of the next one."""
    page = data.get("page", {})
    if not isinstance(page, dict):
        raise ValidationError({"page": ["This is an object."]})
    signer = _get_signer(data, asker, path)
    after, limit = _read_token(page, signer) if "token" in page else ("", _read_limit(page, _DEFAULT))
    ordered = sorted(found, key=_get_key)
    rest = [one for one in ordered if _get_key(one) > after]
    shown = rest[:limit]
    last = _get_key(shown[-1]) if shown else after
    token = signer.sign_object({"after": last, "limit": limit}) if len(rest) > len(shown) else ""
    return {"page": {"next_token": token, "count": len(shown), "total": len(found)}, "results": shown}


def _get_key(one: Found) -> str:
    return one.get("id") or one["name"]


def _read_limit(page: Mapping[str, Any], default: int) -> int:
    limit = page.get("limit", default)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise ValidationError({"page.limit": ["This is a whole number from 0 on."]})
    return min(limit, _MOST)


def _read_token(page: Mapping[str, Any], signer: Signer) -> tuple[str, int]:
    try:
        opened = signer.unsign_object(page["token"])
    except (BadSignature, ValueError, TypeError, AttributeError):
        text = "This is not a token of this search: send next_token of the page before, and all else unchanged."
        raise ValidationError({"page.token": [text]}) from None
    if _read_limit(page, opened["limit"]) != opened["limit"]:
        raise ValidationError({"page.limit": ["This stays the same from page to page, or is left out."]})
    return opened["after"], opened["limit"]


def _get_signer(data: Mapping[str, Any], asker: Asker, path: str) -> Signer:
    asked = json.dumps([data.get(name) for name in _ASKED], sort_keys=True)
    scope = f"{asker.organization.pk}:{asker.application.pk}:{asker.user and asker.user.pk}:{path}:{asked}"
    return Signer(salt=f"kontext.authzen.page:{hashlib.sha256(scope.encode()).hexdigest()}")
