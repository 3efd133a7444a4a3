from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.decorators import display

from orgs.admin_site import OrganizationForm, OrganizationModelAdmin, get_access
from orgs.administration import capture
from orgs.http import make_actor
from orgs.models import Organization
from orgs.services.create_organization import create_organization, update_organization


class OrganizationSettingsForm(capture.CaptureFormMixin, OrganizationForm):
    class Meta:
        model = Organization
        fields = ("name", "slug", "status", "client_registration", *capture.FIELDS)


@admin.register(Organization)
class OrganizationAdmin(OrganizationModelAdmin):
    """Superusers make and suspend organizations; an organization's administrators change how it works."""

    form = OrganizationSettingsForm
    list_display = ("name", "slug", "status_shown", "client_registration", "created_at")
    list_filter = ("status", "client_registration")
    search_fields = ("name", "slug")
    readonly_fields = ("id", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "slug", "status")}),
        (
            "Applications that register themselves",
            {
                "fields": ("client_registration",),
                "description": "MCP clients introduce themselves when a person first uses them. "
                "This says what happens then.",
            },
        ),
        (capture.TITLE, {"fields": capture.FIELDS, "description": capture.DESCRIPTION}),
        ("Details", {"fields": ("id", "created_at"), "classes": ("collapse",)}),
    )
    can_be_deleted: ClassVar[bool] = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return get_access(request).is_superuser

    def get_readonly_fields(self, request: HttpRequest, obj: Organization | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if obj is None:
            return (*fields, "status")
        # The short name is in addresses that others keep.
        return (*fields, "slug") if get_access(request).is_superuser else (*fields, "slug", "status")

    def perform_save(self, request: HttpRequest, obj: Organization, form: ModelForm[Any], change: bool) -> Organization:
        given = {name: form.cleaned_data[name] for name in ("name", "client_registration")}
        actor = make_actor(user=request.user)
        if not change:
            return create_organization(slug=form.cleaned_data["slug"], actor=actor, **given)
        given |= {name: form.cleaned_data[name] for name in capture.FIELDS}
        if capture.is_full_from_now_on(form):
            messages.warning(request, capture.WARNING)
        return update_organization(
            organization=self.get_stored(obj), status=form.cleaned_data.get("status", obj.status), actor=actor, **given
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sections = super().get_fieldsets(request, obj)
        return sections if obj is not None else [one for one in sections if one[0] != capture.TITLE]

    @display(
        description="status",
        ordering="status",
        label={Organization.Status.ACTIVE: "success", Organization.Status.SUSPENDED: "danger"},
    )
    def status_shown(self, obj: Organization) -> tuple[str, str]:
        return obj.status, obj.get_status_display()
