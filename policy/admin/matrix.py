"""The matrix as a page. A cell leads to the simulation, with the explanation and room for arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from unfold.widgets import UnfoldAdminSelectWidget

from connections.models import Capability
from orgs.admin_site import Access, get_access, narrow
from orgs.models import Application, Membership, Organization, User
from policy.matrix import AXES, CLOSED, DEPENDS, MOST, NOBODY, Axis, Matrix, build_matrix

# A table of 200 by 200 has forty thousand cells: each is one of these, as short as it can be.
_WORDS = {
    "allow": "allowed",
    "ask": "after approval",
    "deny": "denied",
    DEPENDS: "depends on the arguments",
    CLOSED: "integration not open to it",
}
_CELLS = {
    state: f"<td class=k-{state}><button type=button tabindex=-1>{words}</button>" for state, words in _WORDS.items()
}
_TITLES = {"user": "Person", "application": "Application", "capability": "Capability"}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table; `cells` is its markup."""

    id: str
    name: str
    note: str
    cells: SafeString


@dataclass(frozen=True, slots=True)
class Turn:
    """A link to the neighbouring page of an axis."""

    words: str
    address: str


class MatrixForm(forms.Form):
    """What is chosen; what is left open is laid out."""

    organization = forms.ModelChoiceField(
        queryset=Organization.objects.none(), required=False, widget=UnfoldAdminSelectWidget, empty_label=None
    )
    application = forms.ModelChoiceField(
        queryset=Application.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        empty_label="Every application",
    )
    user = forms.ChoiceField(required=False, label="For", widget=UnfoldAdminSelectWidget)
    capability = forms.ModelChoiceField(
        queryset=Capability.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        empty_label="Every capability",
    )

    def __init__(self, access: Access, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        organizations = narrow(Organization.objects.all(), access).order_by("name")
        given = _read_uuid(self.data.get("organization") if self.is_bound else None)
        chosen = organizations.filter(pk=given).first() if given else None
        self.chosen_organization: Organization | None = chosen or organizations.first()
        fields: dict[str, Any] = dict(self.fields)
        fields["organization"].queryset = organizations
        fields["organization"].initial = self.chosen_organization
        if not access.spans_organizations:
            fields["organization"].widget = forms.HiddenInput()
        fields["application"].queryset = Application.objects.filter(organization=self.chosen_organization)
        capabilities = Capability.objects.filter(organization=self.chosen_organization, kind=Capability.Kind.TOOL)
        fields["capability"].queryset = capabilities.exclude(status="removed").select_related("integration")
        members = Membership.objects.active().filter(organization=self.chosen_organization).values("user")
        people = [(str(one.pk), str(one)) for one in User.objects.filter(pk__in=members)]
        fields["user"].choices = [("", "Everyone"), (NOBODY, "Nobody: it acts on its own"), *people]

    @property
    def chosen(self) -> dict[str, str]:
        """Return identifiers by axis."""
        found: dict[str, Any] = {name: self.cleaned_data.get(name) for name in AXES}
        return {name: str(getattr(value, "pk", value)) for name, value in found.items() if value}


def show_matrix(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the form and its matrix. Sent by GET: a matrix can be linked to, and nothing is changed."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    form = MatrixForm(get_access(request), request.GET if request.GET else None)
    context = {**admin.admin_site.each_context(request), "opts": admin.opts, "title": "Matrix", "form": form}
    if form.is_bound and form.is_valid() and form.chosen_organization is not None:
        chosen = form.chosen
        if len(chosen) == len(AXES):
            return HttpResponseRedirect(_get_simulation(chosen))
        if chosen:
            pages = {name: _read_page(request.GET.get(f"{name}_page")) for name in AXES}
            context |= _describe(request, build_matrix(form.chosen_organization, chosen, pages), chosen, pages)
    return TemplateResponse(request, "admin/kontext/matrix.html", context)


def _describe(
    request: HttpRequest, matrix: Matrix, chosen: Mapping[str, str], pages: Mapping[str, int]
) -> dict[str, Any]:
    lines = [
        Line(entry.id, entry.name, entry.note, mark_safe("".join(map(_CELLS.__getitem__, states))))  # noqa: S308
        for entry, states in zip(matrix.rows.entries, matrix.states, strict=True)
    ]
    return {
        "matrix": matrix,
        "lines": lines,
        "corner": _TITLES[matrix.rows.name],
        "fixed": chosen,
        "simulation": reverse("admin:policy_rule_simulate"),
        "turns": [turn for axis in (matrix.rows, matrix.columns) for turn in _make_turns(request, axis, pages)],
        "legend": list(_WORDS.items()),
    }


def _make_turns(request: HttpRequest, axis: Axis, pages: Mapping[str, int]) -> list[Turn]:
    page, title = pages[axis.name], _TITLES[axis.name].lower()
    plural = {"person": "people", "capability": "capabilities"}.get(title, f"{title}s")
    turns = []
    if page > 1:
        turns.append(Turn(f"Former {MOST} {plural}", _turn_to(request, axis.name, page - 1)))
    if page * MOST < axis.total:
        turns.append(Turn(f"Next {MOST} of {axis.total:,} {plural}", _turn_to(request, axis.name, page + 1)))
    return turns


def _turn_to(request: HttpRequest, axis: str, page: int) -> str:
    query = request.GET.copy()
    query[f"{axis}_page"] = str(page)
    return f"?{query.urlencode()}"


def _get_simulation(chosen: Mapping[str, str]) -> str:
    query = {name: "" if value == NOBODY else value for name, value in chosen.items()}
    return f"{reverse('admin:policy_rule_simulate')}?{urlencode(query)}"


def _read_page(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else 1


def _read_uuid(text: Any) -> UUID | None:
    try:
        return UUID(text)
    except (TypeError, ValueError, AttributeError):
        return None
