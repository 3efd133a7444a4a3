"""Where adding an integration begins: the catalogue, and the form of one service in it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from connections.catalogue.entries import Entry, Way
from connections.catalogue.loading import find_entry, get_catalogue
from connections.models import Integration
from connections.services.add_from_catalogue import add_from_catalogue
from connections.services.change_server import get_redirect_uri
from orgs.admin_site import WRITERS, Access, LinesField, get_access, narrow
from orgs.administration.changes import capture_stored, record_change
from orgs.http import make_actor
from orgs.models import Organization

_USES = {"mcp": "Through the gateway (MCP)", "api": "Applications are handed the credential (API)"}
_MODES = dict(Integration.AuthMode.choices)
_BRINGS_MCP = {
    "dynamic": "Nothing: Kontext registers itself.",
    "metadata_document": "Nothing where Kontext is reached by https: it shows who it is.",
    "preregistered": "A client: register Kontext there.",
    "unknown": "Nothing, or a client: discovery finds out.",
}
# A parameter's field can be called like one of the form's own.
_PREFIX = "parameter-"


class EntryForm(forms.Form):
    """A service with everything filled in that is known. What only some ways need is said with each field."""

    organization = forms.ModelChoiceField(
        queryset=Organization.objects.none(), widget=UnfoldAdminSelectWidget, empty_label=None
    )
    way = forms.ChoiceField(label="How it is used", widget=UnfoldAdminSelectWidget)
    name = forms.CharField(max_length=120, widget=UnfoldAdminTextInputWidget)
    slug = forms.CharField(
        label="Short name",
        max_length=32,
        widget=UnfoldAdminTextInputWidget,
        help_text="The first half of a capability's name and the end of its address at the gateway.",
    )

    def __init__(self, entry: Entry, access: Access, data: Any = None) -> None:
        super().__init__(data)
        self.entry = entry
        mine = narrow(Organization.objects.all(), access, roles=WRITERS).order_by("name")
        fields: dict[str, Any] = dict(self.fields)
        fields["organization"].queryset, fields["organization"].initial = mine, mine.first()
        if not access.spans_organizations:
            fields["organization"].widget = forms.HiddenInput()
        fields["way"].choices = [(_write_way(way), _describe_way(way)) for way in entry.ways]
        fields["name"].initial, fields["slug"].initial = entry.name, entry.slug
        for name, parameter in entry.parameters.items():
            self.fields[_PREFIX + name] = forms.CharField(
                label=parameter.label or name,
                required=False,
                max_length=500,
                initial=parameter.default,
                widget=UnfoldAdminTextInputWidget(attrs={"placeholder": parameter.example}),
                help_text=_explain_parameter(entry, name),
            )
        if any((way.use, way.auth_mode) == ("api", "oauth") for way in entry.ways):
            self.fields["scopes"] = LinesField(
                label="Scopes of the API",
                required=False,
                initial=list(entry.oauth.scopes if entry.oauth else ()),
                help_text="One a line: what people are asked to grant. Begin with the least.",
            )

    def add(self, actor: Any) -> Integration:
        """Raises ValidationError with the service's own names of what is wrong."""
        given = self.cleaned_data
        use, _, auth_mode = given["way"].partition(" ")
        return add_from_catalogue(
            organization=given["organization"],
            entry=self.entry,
            use=use,
            auth_mode=auth_mode,
            parameters={name: given[_PREFIX + name] for name in self.entry.parameters if given[_PREFIX + name]},
            slug=given["slug"],
            name=given["name"],
            scopes=given.get("scopes"),
            actor=actor,
        )

    def add_refusal(self, refusal: ValidationError) -> None:
        for name, texts in refusal.message_dict.items():
            known = next((field for field in (_PREFIX + name, name) if field in self.fields), None)
            self.add_error(known, texts)


def show_catalogue(admin: Any, request: HttpRequest) -> HttpResponse:
    """List the services that fit what is searched for. Sent by GET: it can be linked to."""
    wanted = request.GET.get("q", "").strip()[:100]
    entries = [entry for entry in get_catalogue().entries.values() if _fits(entry, wanted)]
    # The general ones come last: they are for what isn't there.
    entries.sort(key=lambda entry: (entry.category == "generic", entry.name.lower()))
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": "Add an integration",
        "wanted": wanted,
        "cards": [_make_card(entry) for entry in entries],
        "by_hand": "?by=hand",
    }
    return TemplateResponse(request, "admin/kontext/catalogue.html", context)


def show_entry(admin: Any, request: HttpRequest, slug: str) -> HttpResponse:
    """Show the form of one service; POST adds it and leads to the next step."""
    entry = find_entry(slug)
    if entry is None or not entry.ways:
        raise Http404("there is no such service in the catalogue")
    form = EntryForm(entry, get_access(request), request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        integration = _try(form, request)
        if integration is not None:
            record_change(request, integration, verb="added", before={}, after=capture_stored(integration))
            return HttpResponseRedirect(_get_next_step(integration))
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": f"Add {entry.name}",
        "entry": entry,
        "card": _make_card(entry),
        "form": form,
        "redirect_uri": get_redirect_uri(),
        "back_url": reverse("admin:connections_integration_add"),
    }
    return TemplateResponse(request, "admin/kontext/catalogue_entry.html", context, status=422 if form.errors else 200)


def _try(form: EntryForm, request: HttpRequest) -> Integration | None:
    try:
        return form.add(make_actor(user=request.user))
    except ValidationError as refusal:
        form.add_refusal(refusal)
    except IntegrityError:
        form.add_error("slug", "An integration with this short name was added at the same moment.")
    return None


def _get_next_step(integration: Integration) -> str:
    """A client can't be discovered where it has to be entered; everything else begins with asking the service."""
    page = "enter_client" if hasattr(integration, "oauth_client") else "discover"
    return reverse(f"admin:connections_integration_{page}", args=[integration.pk])


def _fits(entry: Entry, wanted: str) -> bool:
    text = f"{entry.name} {entry.slug} {entry.category} {entry.notes}".lower()
    return all(word in text for word in wanted.lower().split())


def _make_card(entry: Entry) -> dict[str, Any]:
    modes = dict.fromkeys(way.auth_mode for way in entry.ways)
    return {
        "entry": entry,
        "category": entry.category.replace("-", " "),
        "uses": " and ".join(dict.fromkeys({"mcp": "MCP", "api": "API"}[way.use] for way in entry.ways)),
        "modes": [_MODES[mode] for mode in modes],
        "brings": _say_what_to_bring(entry),
    }


def _say_what_to_bring(entry: Entry) -> str:
    first = entry.ways[0]
    if first.use == "mcp" and first.auth_mode == "oauth" and entry.mcp is not None:
        words = _BRINGS_MCP[entry.mcp.registration]
    else:
        words = {
            "oauth": "A client: register Kontext there.",
            "user_token": "Nothing: each person pastes a key.",
            "server_token": "A key for the organization.",
            "none": "Nothing.",
        }[first.auth_mode]
    asked = [parameter.label.lower() for parameter in entry.find_asked(first).values() if not parameter.default]
    return f"{words} Also: {', '.join(asked)}." if asked else words


def _explain_parameter(entry: Entry, name: str) -> str:
    parameter = entry.parameters[name]
    needing = [way for way in entry.ways if name in entry.find_asked(way)]
    if parameter.source != "operator" and not needing:
        return "Told by the service when somebody connects. Enter it to fix it for everybody."
    if len(needing) == len(entry.ways):
        return f"Such as {parameter.example}." if parameter.example else ""
    return f"Needed for {' and '.join(_summarize(entry, needing))}."


def _summarize(entry: Entry, needing: list[Way]) -> list[str]:
    """Name ways briefly: a whole use where each of its ways is among them."""
    words = []
    for use, label in (("mcp", "MCP"), ("api", "the API")):
        found = [way for way in needing if way.use == use]
        is_whole = found == [way for way in entry.ways if way.use == use]
        modes = ", ".join(_MODES[way.auth_mode].lower() for way in found)
        words += [label if is_whole else f"{label} ({modes})"] if found else []
    return words


def _write_way(way: Way) -> str:
    return f"{way.use} {way.auth_mode}"


def _describe_way(way: Way) -> str:
    return f"{_USES[way.use]}: {_MODES[way.auth_mode][:1].lower()}{_MODES[way.auth_mode][1:]}"
