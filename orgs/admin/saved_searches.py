"""Searches of the audit trail under a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from orgs.admin.explorer import get_address
from orgs.admin_site import WRITERS, OrganizationModelAdmin, get_access
from orgs.administration.activity import EVENT_READERS
from orgs.administration.forms import OrganizationForm
from orgs.explorer.filters import FilterForm
from orgs.http import make_actor
from orgs.models import SavedSearch
from orgs.services.save_search import change_search, delete_search, save_search


class SavedSearchForm(OrganizationForm):
    query = forms.CharField(
        required=False,
        max_length=4000,
        label="Filters",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false", "class": "k-code"}),
        help_text="What stands behind the question mark of the explorer's address.",
    )

    def clean_query(self) -> str:
        """Keep what the explorer understands, in its own order."""
        asked = read_query(self.cleaned_data["query"].lstrip("?"), _name_organization(self))
        if not asked.is_valid():
            problems = asked.errors.get_json_data().items()
            raise forms.ValidationError([f"{name}: {found['message']}" for name, all in problems for found in all])
        return asked.make_query(organization=None)


def read_query(query: str, organizations: Mapping[str, str]) -> FilterForm:
    """Return a saved search as the filters that it is of."""
    return FilterForm(QueryDict(query), organizations=organizations)


def _name_organization(form: SavedSearchForm) -> dict[str, str]:
    # A search is of its organization, whatever the address that it was made from said.
    chosen = form.data.get("organization") or form.instance.organization_id
    return {str(chosen): ""} if chosen else {}


@admin.register(SavedSearch)
class SavedSearchAdmin(OrganizationModelAdmin):
    """Everybody who reads the trail keeps searches of their own; owners and administrators share theirs."""

    form = SavedSearchForm
    reader_roles = EVENT_READERS
    writer_roles = EVENT_READERS
    list_display = ("name", "open_shown", "words_shown", "owner", "is_shared")
    list_filter = ("is_shared",)
    list_select_related = ("owner", "organization")
    search_fields = ("name", "query")
    search_help_text = "Search names and filters"
    fields = ("organization", "name", "query", "is_shared", "words_shown", "open_shown", "owner")
    readonly_fields = ("words_shown", "open_shown", "owner")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        searches: Any = super().get_queryset(request)
        visible: QuerySet[Any] = searches.visible_to(request.user)
        return visible

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj is not None else ("organization", "name", "query", "is_shared")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or _is_theirs(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or _is_theirs(request, obj))

    def perform_save(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> Any:
        said = {"name": obj.name, "query": obj.query, "is_shared": obj.is_shared}
        actor = make_actor(user=request.user)
        if change:
            return change_search(search=obj, **said, actor=actor)
        return save_search(organization=obj.organization, owner=request.user, **said, actor=actor)  # type: ignore[arg-type]

    def perform_delete(self, request: HttpRequest, obj: Any) -> None:
        delete_search(search=obj, actor=make_actor(user=request.user))

    @display(description="")
    def open_shown(self, obj: SavedSearch) -> SafeString:
        return format_html(
            '<a href="{}" class="underline">Open<span class="visually-hidden"> {}</span></a>', get_address(obj), obj
        )

    @display(description="filters")
    def words_shown(self, obj: SavedSearch) -> str:
        asked = read_query(obj.query, {str(obj.organization_id): str(obj.organization)})
        return asked.describe() if asked.is_valid() else obj.query


def _is_theirs(request: HttpRequest, search: SavedSearch) -> bool:
    return search.owner_id == request.user.pk or (
        search.is_shared and get_access(request).covers({search.organization_id}, WRITERS)
    )
