"""Dynamic client registration (RFC 7591): open to anyone, and worth nothing until a person takes it in.

What registers here belongs to no organization, can't get a token, and is deleted after a day unless somebody consents
to it (orgs.services.claim_application).
"""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View
from oauth2_provider.generators import generate_client_secret

from audit.services.record import record_event
from audit.types import EventType
from orgs.http import get_source_address, make_actor
from orgs.limits import Limit, record_use
from orgs.models import Application
from orgs.oauth.answers import answer_error, answer_json, answer_too_many, readable_anywhere
from orgs.oauth.errors import OAuthError

PER_ADDRESS = Limit("registrations", uses=30)
MOST_UNCLAIMED = 1000
UNCLAIMED_ARE_KEPT = dt.timedelta(days=1)
CROWDED_OUT_AFTER = dt.timedelta(minutes=15)
_MOST_BYTES = 16 * 1024
_MOST_REDIRECT_URIS = 10
_MOST_NAME_CHARACTERS = 100
_GRANTS = ("authorization_code", "refresh_token")
_SECRET_METHODS = ("client_secret_basic", "client_secret_post")


@method_decorator([readable_anywhere, csrf_exempt], name="dispatch")
class RegisterView(View):
    """POST a client's metadata, get a client ID. What it may use is not decided here."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        wait = record_use(PER_ADDRESS, get_source_address(request) or "")
        if wait:
            return answer_too_many(wait)
        try:
            return answer_json(_register(_read(request)), status=201)
        except OAuthError as error:
            return answer_error(error)


def delete_unclaimed_applications(*, older_than: dt.timedelta = UNCLAIMED_ARE_KEPT) -> int:
    """Delete registrations that nobody consented to in this time, and return how many."""
    old = Application.objects.filter(organization__isnull=True, created__lt=timezone.now() - older_than)
    count = old.count()
    old.delete()
    return count


def _read(request: HttpRequest) -> dict[str, Any]:
    if int(request.META.get("CONTENT_LENGTH") or 0) > _MOST_BYTES:
        raise _invalid(f"The metadata must not be larger than {_MOST_BYTES} bytes.")
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _invalid("Send the client's metadata as a JSON object.")
    return document


def _register(metadata: dict[str, Any]) -> dict[str, Any]:
    _check_room()
    method = _read_auth_method(metadata)
    secret = generate_client_secret() if method != "none" else ""
    application = Application(
        name=_read_name(metadata),
        redirect_uris=" ".join(_read_redirect_uris(metadata)),
        grant_types=_read_grant_types(metadata),
        client_type=Application.CLIENT_PUBLIC if method == "none" else Application.CLIENT_CONFIDENTIAL,
        client_secret=secret,
        registration_source=Application.RegistrationSource.DCR,
        status=Application.Status.PENDING,
    )
    try:
        application.full_clean(exclude=["client_secret"])
    except ValidationError as error:
        raise _describe_invalid(error) from None
    application.save()
    _record(application)
    return _describe(application, method, secret)


def _check_room() -> None:
    """Refuse only when all that wait are minutes old: a flood must not keep others out for a day."""
    if Application.objects.filter(organization__isnull=True).count() < MOST_UNCLAIMED:
        return
    delete_unclaimed_applications(older_than=CROWDED_OUT_AFTER)
    if Application.objects.filter(organization__isnull=True).count() >= MOST_UNCLAIMED:
        description = (
            "Too many registrations wait to be used: try again later, or ask an administrator for a client ID."
        )
        raise OAuthError("temporarily_unavailable", description, status=503)


def _read_auth_method(metadata: dict[str, Any]) -> str:
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    if method not in ("none", *_SECRET_METHODS):
        raise _invalid("token_endpoint_auth_method must be none, client_secret_basic or client_secret_post.")
    return str(method)


def _read_name(metadata: dict[str, Any]) -> str:
    name = metadata.get("client_name", "")
    if not isinstance(name, str):
        raise _invalid("client_name must be a string.")
    # A stranger chose it and people will read it: nothing invisible, no line breaks, no direction tricks.
    visible = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")
    return " ".join(visible.split())[:_MOST_NAME_CHARACTERS] or "Unnamed application"


def _read_redirect_uris(metadata: dict[str, Any]) -> list[str]:
    uris = metadata.get("redirect_uris")
    if not isinstance(uris, list) or not uris or not all(isinstance(uri, str) for uri in uris):
        raise OAuthError("invalid_redirect_uri", "redirect_uris must list at least one URI.")
    if len(uris) > _MOST_REDIRECT_URIS or any(uri.split() != [uri] for uri in uris):
        raise OAuthError("invalid_redirect_uri", f"Give at most {_MOST_REDIRECT_URIS} URIs, without spaces in them.")
    return uris


def _read_grant_types(metadata: dict[str, Any]) -> list[str]:
    grants = metadata.get("grant_types", ["authorization_code"])
    if not isinstance(grants, list) or "authorization_code" not in grants or any(g not in _GRANTS for g in grants):
        raise _invalid("grant_types must hold authorization_code, and may hold refresh_token: no other grants.")
    if metadata.get("response_types", ["code"]) != ["code"]:
        raise _invalid('response_types must be ["code"].')
    return [grant for grant in _GRANTS if grant in grants]


def _describe_invalid(error: ValidationError) -> OAuthError:
    messages = error.message_dict
    if "redirect_uris" in messages:
        return OAuthError("invalid_redirect_uri", " ".join(messages["redirect_uris"]))
    return _invalid("; ".join(f"{name}: {' '.join(texts)}" for name, texts in messages.items()))


def _invalid(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)


def _describe(application: Application, method: str, secret: str) -> dict[str, Any]:
    described = {
        "client_id": application.client_id,
        "client_id_issued_at": int(application.created.timestamp()),
        "client_name": application.name,
        "redirect_uris": application.redirect_uris.split(),
        "grant_types": application.grant_types,
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
    }
    return {**described, "client_secret": secret, "client_secret_expires_at": 0} if secret else described


def _record(application: Application) -> None:
    record_event(
        type=EventType.APPLICATION_REGISTERED,
        organization_id=None,
        actor=make_actor(application=application),
        details={
            "client_id": application.client_id,
            "source": "dcr",
            "redirect_uris": application.redirect_uris.split(),
        },
    )
