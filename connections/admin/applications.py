"""The application's page, with what this floor knows of it. Registered in place of the one below."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from connections.models import ApplicationIntegration, Integration
from connections.services.allow_application import set_application_integrations
from orgs.admin.applications import ApplicationAdmin as OrgsApplicationAdmin
from orgs.admin.applications import ApplicationForm as OrgsApplicationForm
from orgs.admin_site import Access, get_access, narrow
from orgs.http import make_actor
from orgs.models import Application


class ApplicationForm(OrgsApplicationForm):
    """`access` is set by the admin: it says whose integrations can be chosen."""

    access: ClassVar[Access]
    integrations = forms.ModelMultipleChoiceField(
        queryset=Integration.objects.none(),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What it may use at all. The rules decide about each call.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "integrations" not in self.fields:
            return
        offered = narrow(Integration.objects.all(), self.access)
        if self.instance.organization_id is not None:
            offered = offered.filter(organization=self.instance.organization_id)
        field: Any = self.fields["integrations"]
        field.queryset = offered
        allowed = ApplicationIntegration.objects.filter(application=self.instance.pk)
        self.initial["integrations"] = list(allowed.values_list("integration", flat=True))


class ApplicationAdmin(OrgsApplicationAdmin):
    form = ApplicationForm
    list_filter: ClassVar[Any] = (*OrgsApplicationAdmin.list_filter, "application_integrations__integration")
    fieldsets: ClassVar[Any] = (
        *OrgsApplicationAdmin.fieldsets[:2],
        ("Integrations", {"fields": ("integrations",)}),
        *OrgsApplicationAdmin.fieldsets[2:],
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.access = get_access(request)
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Application | None = None) -> Any:
        # Who may only read has no form to read it from.
        fields = super().get_readonly_fields(request, obj)
        return fields if self.has_change_permission(request, obj) else (*fields, "integrations_shown")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sections = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return sections
        shown = {"fields": ("integrations_shown",)}
        return [(title, shown if title == "Integrations" else options) for title, options in sections]

    def perform_save(self, request: HttpRequest, obj: Application, form: ModelForm[Any], change: bool) -> Application:
        application = super().perform_save(request, obj, form, change)
        set_application_integrations(
            application=application,
            integrations=form.cleaned_data["integrations"],
            actor=make_actor(user=request.user),
        )
        return application

    @display(description="integrations")
    def integrations_shown(self, obj: Application) -> str:
        allowed = Integration.objects.filter(application_integrations__application=obj)
        return ", ".join(allowed.values_list("name", flat=True)) or "None"


admin.site.unregister(Application)
admin.site.register(Application, ApplicationAdmin)
