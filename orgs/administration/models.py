"""The base of every model admin and inline."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.decorators import display

from orgs.administration.access import get_access, get_organization_ids
from orgs.administration.activity import EVENT_READERS, get_recent_events, is_related_to
from orgs.administration.changes import State, capture, capture_stored, record_change
from orgs.administration.scope import ScopeMixin
from orgs.errors import OrgsError
from orgs.models import Organization


class OrganizationModelAdmin(ScopeMixin, ModelAdmin):  # type: ignore[misc]
    """A model admin whose rows belong to organizations, or (for superusers) to the installation.

    Override `perform_save` and `perform_delete` to call a service. Use `object_action` for buttons. `refusals` are
    the exceptions that mean "no": on a form they become its errors, with everything rolled back.
    """

    refusals: ClassVar[tuple[type[Exception], ...]] = (ValidationError, OrgsError, IntegrityError)
    has_events: ClassVar[bool] = True
    list_filter_sheet = False
    list_fullwidth = True
    list_per_page = 50
    show_full_result_count = False
    warn_unsaved_form = True
    compressed_fields = True
    change_form_outer_after_template: Any = "admin/kontext/activity.html"
    actions_detail: Any = ()
    list_before_template: Any = None

    # What is saved, and by whom

    def perform_save(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> Any:
        """Save `obj`, which already carries the form's values, and return the row as saved.

        A service that compares with what is stored needs `self.get_stored(obj)` instead of `obj`.
        """
        obj.save()
        return obj

    def perform_delete(self, request: HttpRequest, obj: Any) -> None:
        obj.delete()

    def get_stored(self, obj: Any) -> Any:
        """Return the row as it is in the database, untouched by the form."""
        return type(obj)._default_manager.get(pk=obj.pk)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        before = capture_stored(obj) if change else {}
        saved = self.perform_save(request, obj, form, change)
        if saved is not obj:
            obj.__dict__.update(saved.__dict__)
        verb = "changed" if change else "added"
        record_change(request, obj, verb=verb, before=before, after=capture_stored(obj))

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        before = _capture_rows(formset)
        for row in formset.save(commit=False):
            _inherit_organization(row, form.instance)
            self.save_row(request, row)
        for row in formset.deleted_objects:
            key = row.pk
            self.delete_row(request, row)
            row.pk = key  # for the record
        formset.save_m2m()
        _record_rows(request, formset, before)

    def save_row(self, request: HttpRequest, row: Any) -> None:
        """Save a row of an inline. Override it to call a service; the row has the form's values."""
        row.save()

    def delete_row(self, request: HttpRequest, row: Any) -> None:
        row.delete()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        before, key = capture(obj), obj.pk
        with transaction.atomic():
            # First: whose it was can't be told afterwards.
            record_change(request, obj, verb="deleted", before=before, after={})
            self.perform_delete(request, obj)
        obj.pk = key

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        with transaction.atomic():
            for row in queryset:
                self.delete_model(request, row)

    # A service's refusal

    def describe_refusal(self, refusal: Exception) -> str:
        """Return a sentence for people."""
        return " ".join(self.as_validation_error(refusal).messages)

    def as_validation_error(self, refusal: Exception) -> ValidationError:
        """Return what a form shows for a refusal."""
        return _as_validation_error(refusal)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the form again, with the service's refusal as its errors; the transaction has been rolled back."""
        extra_context = {**(extra_context or {}), **self._get_activity(request, object_id)}
        if not self.has_events:
            extra_context["show_history"] = False
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except self.refusals as refusal:
            if request.method != "POST":
                raise
            request._kontext_refusal = self.as_validation_error(refusal)  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        return type(form.__name__, (form,), {"refusal": getattr(request, "_kontext_refusal", None)})

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except self.refusals as refusal:
            messages.error(request, self.describe_refusal(refusal))
            return HttpResponseRedirect(self._reverse("change", object_id))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, str] | None = None) -> Any:
        try:
            return super().changelist_view(request, extra_context)
        except self.refusals as refusal:
            if request.method != "POST":
                raise
            messages.error(request, self.describe_refusal(refusal))
            return HttpResponseRedirect(request.get_full_path())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What depends on the object goes with it, also where it can't be deleted by itself (a consent, a token)."""
        to_delete, counts, _, protected = super().get_deleted_objects(objs, request)
        return to_delete, counts, set(), protected

    # Whose it is

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if obj is None or not _has_organization(self.model) or "organization" in fields:
            return fields
        return (*fields, "organization")  # nothing moves between organizations

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> Any:
        """A row that is being added has nothing yet that could only be read."""
        inlines = super().get_inline_instances(request, obj)
        return [inline for inline in inlines if obj is not None or not getattr(inline, "is_read_only", False)]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Choose the organization where there is no choice."""
        initial = super().get_changeform_initial_data(request)
        mine = get_access(request).organizations(self.writer_roles)
        if _has_organization(self.model) and "organization" not in initial and len(mine) == 1:
            initial["organization"] = str(next(iter(mine)))
        return dict(initial)

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = list(super().get_list_display(request))
        if _has_organization(self.model) and "organization" not in columns and get_access(request).spans_organizations:
            columns.insert(1, "organization")
        return [*columns, "events"] if self.has_events else columns

    def get_list_filter(self, request: HttpRequest) -> Any:
        filters = list(super().get_list_filter(request))
        if _has_organization(self.model) and "organization" not in filters and get_access(request).spans_organizations:
            filters.insert(0, "organization")
        return filters

    def get_list_select_related(self, request: HttpRequest) -> Any:
        related = super().get_list_select_related(request)
        if not _has_organization(self.model) or isinstance(related, bool):
            return related
        return [*related, "organization"]

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        raise Http404("not found")

    # What happened to it

    @display(description="events")
    def events(self, obj: Any) -> SafeString:
        url = self.get_events_url(obj)
        return format_html('<a href="{}" class="underline" aria-label="Audit events of {}">Events</a>', url, obj)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The history of an object is its audit events: there is no second log."""
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404("not found")
        return HttpResponseRedirect(self.get_events_url(row))

    def _get_activity(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        row = self.get_object(request, unquote(object_id)) if object_id and self.has_events else None
        if row is None or not get_access(request).covers(get_organization_ids(row), EVENT_READERS):
            return {}
        events = get_recent_events(row, self.get_event_condition(row), get_access(request))
        return {"activity": events, "activity_url": self.get_events_url(row)}

    def get_event_condition(self, row: Any) -> Q:
        """Return which events are about a row. Who changes it changes `get_events_url` with it."""
        return Q() if isinstance(row, Organization) else is_related_to(row.pk)

    def get_events_url(self, row: Any) -> str:
        return get_events_url(row)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        """Recorded in the audit trail by `save_model`."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        """Recorded in the audit trail by `save_model`."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        """Recorded in the audit trail by `delete_model`."""

    # Buttons

    def has_superuser_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person runs the whole installation; for `object_action(permission="superuser")`."""
        return get_access(request).is_superuser

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        row = self.get_object(request, object_id)
        return [action for action in self._get_base_actions_detail() if row and self._is_offered(request, action, row)]

    def _is_offered(self, request: HttpRequest, action: Any, row: Any) -> bool:
        permission = getattr(action.method, "object_permission", "change")
        is_offered = getattr(action.method, "is_offered", lambda row: True)
        return bool(getattr(self, f"has_{permission}_permission")(request, row) and is_offered(row))

    def _reverse(self, view: str, *args: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}", args=args)


class OrganizationTabularInline(ScopeMixin, TabularInline):  # type: ignore[misc]
    """Rows that belong to the object on whose page they are, and to its organization."""

    extra = 0
    hide_title = True
    per_page: Any = None


class OrganizationStackedInline(ScopeMixin, StackedInline):  # type: ignore[misc]
    extra = 0
    hide_title = True
    per_page: Any = None


def link_to(row: Any, words: str) -> SafeString:
    """Return a link to a row's own page in the admin."""
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))
    return format_html('<a href="{}" class="underline">{}</a>', url, words)


def get_events_url(row: Any) -> str:
    """Return the address of the audit events in which a row plays a part."""
    name = "organization" if isinstance(row, Organization) else "related"
    return f"{reverse('admin:audit_auditevent_changelist')}?{name}={row.pk}"


def _has_organization(model: type[models.Model]) -> bool:
    return any(field.name == "organization" for field in model._meta.concrete_fields)


def _inherit_organization(row: Any, parent: Any) -> None:
    if _has_organization(type(row)) and row.organization_id is None:
        row.organization_id = parent.pk if isinstance(parent, Organization) else parent.organization_id


def _as_validation_error(refusal: Exception) -> ValidationError:
    if isinstance(refusal, ValidationError):
        return refusal
    if isinstance(refusal, IntegrityError):
        return ValidationError("This contradicts something that was stored in the meantime. Look again and retry.")
    text = str(refusal) or "This is refused."
    return ValidationError(text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else "."))


def _capture_rows(formset: Any) -> dict[Any, State]:
    return {form.instance.pk: capture_stored(form.instance) for form in formset.initial_forms}


def _record_rows(request: HttpRequest, formset: Any, before: dict[Any, State]) -> None:
    for row in formset.new_objects:
        record_change(request, row, verb="added", before={}, after=capture_stored(row))
    for row, _ in formset.changed_objects:
        record_change(request, row, verb="changed", before=before[row.pk], after=capture_stored(row))
    for row in formset.deleted_objects:
        record_change(request, row, verb="deleted", before=before[row.pk], after={})
