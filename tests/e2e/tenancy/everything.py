"""One row of every model that belongs to an organization, made by looking at the models.

A new model is filled from its first commit. Where its constraints need more than types, making the row fails until
`EXTRAS` says what is missing.
"""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from orgs.models import Membership, Organization, User

OUR_APPS = ("audit", "orgs", "connections", "policy", "gateway", "kontext")
MARK = "zqacmeqz"  # in every text of Acme's rows, and nowhere else

Extras = dict[str, Any]

# Written by triggers, with the rows they count.
MADE_BY_DATABASE = {"orgs.SnapshotVersion"}
# What constraints demand beyond the types, by model.
EXTRAS: dict[str, Extras] = {
    "audit.AuditEvent": {"call": None},
    "audit.PayloadKey": {"user_id": uuid4(), "erased_by": ""},
    "orgs.Organization": {"slug": f"{MARK}-org"},
    "orgs.Membership": {"role": "owner", "status": "active"},
    "orgs.Application": {"status": "active", "client_type": "public", "redirect_uris": "http://127.0.0.1/callback"},
    "orgs.Delegation": {"revoked_at": None, "expires_at": None},
    "orgs.SavedSearch": {"is_shared": True},
    "orgs.AlertSettings": {"zone": "UTC"},
    "orgs.Delivery": {"due_at": timezone.now()},
    "orgs.IdentityProvider": {"issuer": f"https://{MARK}.test", "email_domains": [f"{MARK}.test"]},
    "connections.Integration": {"status": "active", "slug": MARK, "url": f"https://{MARK}.test/mcp"},
    "connections.Connection": {"status": "active"},
    "connections.Capability": {"status": "active"},
    "connections.ExternalAuth": {"max_token_age_seconds": 300, "allowed_algorithms": ["ES256"]},
    "policy.Approval": {"scope": "", "expires_at": timezone.now() + dt.timedelta(days=1)},
    "policy.RuleRequest": {"expires_at": timezone.now() + dt.timedelta(days=1)},
    "policy.Rule": {"layer": "org", "effect": "allow", "user": None, "group": None, "application": None},
}


def owned_models() -> list[type[models.Model]]:
    """Every model of ours whose rows belong to one organization, Organization itself first."""
    ours = [model for model in apps.get_models() if model._meta.app_label in OUR_APPS]
    owned = [model for model in ours if _names_organization(model)]
    return [Organization, *owned]


def make_everything() -> dict[str, models.Model]:
    """Make Acme with one of everything; returns the rows by model label."""
    rows: dict[str, models.Model] = {}
    rows["orgs.Organization"] = _make(Organization, rows)
    rows["orgs.User"] = User.objects.create_user(name=f"Alice {MARK}", email=f"alice@{MARK}.test")
    for model in owned_models():
        _row(model, rows)
    return rows


def make_mallory() -> User:
    """Globex's owner, who may do there whatever an owner may do."""
    globex = Organization.objects.create(slug="globex", name="Globex")
    mallory = User.objects.create_user(name="Mallory", email="mallory@globex.test", is_staff=True)
    Membership.objects.create(organization=globex, user=mallory, role=Membership.Role.OWNER)
    return mallory


def identifiers(rows: dict[str, models.Model]) -> list[str]:
    """What names a row and nothing else: a number names many things."""
    return [str(row.pk) for row in rows.values() if not isinstance(row.pk, int)]


def fingerprint() -> dict[str, list[tuple[Any, ...]]]:
    """All of Acme's rows as they are, to notice any change."""
    acme = Organization.objects.get(slug=f"{MARK}-org")
    state: dict[str, list[tuple[Any, ...]]] = {}
    for model in owned_models():
        rows = model._default_manager.filter(pk=acme.pk) if model is Organization else _of(model, acme)
        state[model._meta.label] = sorted((tuple(map(_plain, row)) for row in rows.values_list()), key=repr)
    state.pop("audit.AuditEvent", None)  # a refused attempt may be recorded, and nothing can be changed there
    return state


def _of(model: type[models.Model], acme: models.Model) -> models.QuerySet[models.Model]:
    return model._default_manager.filter(organization_id=acme.pk)


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _names_organization(model: type[models.Model]) -> bool:
    return any(field.attname == "organization_id" for field in model._meta.concrete_fields)


def _row(model: type[models.Model], rows: dict[str, models.Model]) -> models.Model:
    label = model._meta.label
    if label not in rows:
        rows[label] = _of(model, rows["orgs.Organization"]).get() if label in MADE_BY_DATABASE else _make(model, rows)
    return rows[label]


def _make(model: type[models.Model], rows: dict[str, models.Model]) -> models.Model:
    extras = EXTRAS.get(model._meta.label, {})
    values = {
        field.name: _value(field, rows)
        for field in model._meta.concrete_fields
        if field.name not in extras and not _fills_itself(field)
    }
    return model._default_manager.create(**values, **extras)


def _fills_itself(field: models.Field[Any, Any]) -> bool:
    """Defaults are kept, except of texts: they carry the mark."""
    if field.attname == "organization_id":
        return False
    automatic = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    if field.primary_key or automatic or field.has_db_default():
        return True
    if isinstance(field, models.ForeignKey):
        return False
    return not isinstance(field, models.CharField | models.TextField) and (field.null or field.has_default())


_numbers = itertools.count(1)


def _value(field: models.Field[Any, Any], rows: dict[str, models.Model]) -> Any:
    if isinstance(field, models.ForeignKey):
        return _related(field, rows)
    if field.attname == "organization_id":
        return rows["orgs.Organization"].pk
    if field.choices or isinstance(field, models.URLField | models.EmailField):
        return field.get_default() if field.has_default() else next(iter(field.choices or [("", "")]))[0]
    return _by_type(field)


def _by_type(field: models.Field[Any, Any]) -> Any:
    if isinstance(field, models.CharField | models.TextField):
        return f"{MARK}{next(_numbers)}"[: getattr(field, "max_length", None) or 255]
    if isinstance(field, ArrayField | models.JSONField):
        return []
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.UUIDField):
        return uuid4()
    if isinstance(field, models.BinaryField):
        return MARK.encode()
    if isinstance(field, models.IntegerField):
        return 1
    raise AssertionError(f"no way to fill {field}: add it to tests/e2e/tenancy/everything.py")


def _related(field: models.ForeignKey[Any, Any], rows: dict[str, models.Model]) -> models.Model | None:
    target: type[models.Model] = field.related_model
    if target._meta.label in rows:
        return rows[target._meta.label]
    if _names_organization(target):
        return _row(target, rows)
    return None if field.null else _make(target, rows)


__all__ = ["MARK", "fingerprint", "identifiers", "make_everything", "make_mallory", "owned_models"]
