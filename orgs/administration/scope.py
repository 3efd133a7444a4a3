"""The rule that model admins and inlines share: rows, choices and permissions follow the person's organizations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from django.contrib.admin import FieldListFilter, RelatedFieldListFilter
from django.db import models
from django.db.models import Field
from django.forms import ModelForm
from django.http import HttpRequest

from orgs.administration.access import READERS, WRITERS, get_access, get_organization_ids, narrow
from orgs.administration.changes import SECRET_FIELDS, get_secret_names
from orgs.administration.forms import OrganizationForm


class ScopeMixin:
    """For a ModelAdmin or an inline. Django's permission tables are not asked.

    `is_read_only`: the rows are never added, changed or deleted here, by anybody. `writer_roles` may change them,
    `reader_roles` see them. `organization_lookup` leads from the model to its organization where
    `orgs.administration.access.find_organization_lookup` can't know.
    """

    is_read_only: ClassVar[bool] = False
    can_be_added: ClassVar[bool] = True
    can_be_deleted: ClassVar[bool] = True
    writer_roles: ClassVar[Collection[str]] = WRITERS
    reader_roles: ClassVar[Collection[str]] = READERS
    organization_lookup: ClassVar[str | None] = None
    form: type[ModelForm[Any]] = OrganizationForm

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = super().get_queryset(request)  # type: ignore[misc]
        return narrow(rows, get_access(request), roles=self.reader_roles, lookup=self.organization_lookup)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, obj, self.reader_roles)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.is_read_only and self._is_allowed(request, obj, self.writer_roles)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.is_read_only and self.can_be_added and self._is_allowed(request, obj, self.writer_roles)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.is_read_only and self.can_be_deleted and self._is_allowed(request, obj, self.writer_roles)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_field_queryset(self, db: str | None, db_field: Field[Any, Any], request: HttpRequest) -> Any:
        """Offer only rows of organizations in which this person may change things."""
        found = super().get_field_queryset(db, db_field, request)  # type: ignore[misc]
        related: Any = db_field.remote_field
        rows = found if found is not None else related.model._default_manager.all()
        return narrow(rows, get_access(request), roles=self.writer_roles)

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        model: type[models.Model] = self.model  # type: ignore[attr-defined]
        return [*(super().get_exclude(request, obj) or ()), *get_secret_names(model)]  # type: ignore[misc]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        # A filter on a stored digest or hash would answer guesses about it, character by character.
        if SECRET_FIELDS & set(lookup.split("__")):
            return False
        return bool(super().lookup_allowed(lookup, value, request))  # type: ignore[misc]

    def _is_allowed(self, request: HttpRequest, obj: Any, roles: Collection[str]) -> bool:
        access = get_access(request)
        if obj is None or access.is_superuser:
            return access.is_superuser or bool(access.organizations(roles))
        return access.covers(get_organization_ids(obj), roles)


class ScopedRelatedFilter(RelatedFieldListFilter):
    """A filter by related row, offering only rows that the person may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        rows = narrow(field.related_model._default_manager.all(), get_access(request), roles=model_admin.reader_roles)
        return [(row.pk, str(row)) for row in rows[:200]]


# Every `list_filter` that names a relation gets the narrowed one, also in admins written without thinking of it.
FieldListFilter.register(lambda field: bool(field.remote_field), ScopedRelatedFilter, take_priority=True)
