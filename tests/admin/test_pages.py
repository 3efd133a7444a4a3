"""Every page of every model opens, for whoever may open it, and shows no secret."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent
from orgs.administration.changes import get_secret_names
from orgs.models import Membership, User
from tests.admin.conftest import sign_in
from tests.e2e.tenancy.everything import MARK, make_everything

SECRET = "top-secret-of-tests"
UNCHANGEABLE = ("audit.AuditEvent", "audit.Payload", "audit.PayloadKey")
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
Rows = dict[str, models.Model]


@pytest.fixture
def acme(db: None) -> Rows:
    """One of everything, each secret of it with the same word in it."""
    rows = make_everything()
    for row in rows.values():
        for name in get_secret_names(type(row)):
            field: Any = row._meta.get_field(name)
            value = SECRET.encode() if isinstance(field, models.BinaryField) else f"{SECRET}{row.pk}"[:64]
            if row._meta.label not in UNCHANGEABLE:
                type(row)._default_manager.filter(pk=row.pk).update(**{name: value})
    return rows


@pytest.fixture
def owner(acme: Rows) -> Client:
    user = User.objects.create_user(name=f"Olive {MARK}", email=f"olive@{MARK}.test", is_staff=True)
    Membership.objects.create(organization_id=acme["orgs.Organization"].pk, user=user, role=Membership.Role.OWNER)
    return sign_in(user)


def addresses(model: type[models.Model], row: models.Model | None) -> list[str]:
    """The pages of a model, with those of its actions, which ask before they do anything."""
    model_admin: Any = admin.site._registry[model]
    base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    found = [reverse(f"{base}_changelist"), f"{reverse(f'{base}_changelist')}?q={MARK[:5]}", reverse(f"{base}_add")]
    if row is not None:
        found += [reverse(f"{base}_{page}", args=(row.pk,)) for page in ("change", "delete", "history")]
        found += [reverse(f"{base}_{action}", args=(row.pk,)) for action in model_admin.actions_detail]
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_pages_open_for_superuser_and_show_no_secret(model: Any, acme: Rows, root: Client) -> None:
    for address in addresses(model, acme.get(model._meta.label)):
        answer = root.get(address)
        assert answer.status_code in (200, 302, 403, 404), f"{address}: {answer.status_code}"
        assert SECRET not in answer.content.decode(), address
    assert root.get(addresses(model, None)[0]).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_pages_open_for_owner_and_show_no_secret(model: Any, acme: Rows, owner: Client) -> None:
    row = acme.get(model._meta.label)
    for address in addresses(model, row):
        answer = owner.get(address)
        assert answer.status_code in (200, 302, 403, 404), f"{address}: {answer.status_code}"
        assert SECRET not in answer.content.decode(), address
    if row is not None:
        assert owner.get(addresses(model, row)[3]).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_list_has_search_filters_and_link_to_events(model: Any) -> None:
    model_admin: Any = admin.site._registry[model]
    if model is AuditEvent:
        return  # its list is the explorer (test_explorer.py)
    assert model_admin.search_fields, "a list can be searched"
    assert model_admin.list_filter, "a list can be filtered"
