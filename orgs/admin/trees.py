"""The Merkle trees that seal the audit trail: how far they are, and their signed heads to take along."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from audit.models import Checkpoint, OutletPosition, Tree
from audit.proofs import find_cosigned, get_cosigned_note, get_newest_checkpoint
from audit.services.seal import read_frontier
from orgs.admin_site import OrganizationModelAdmin
from orgs.administration.activity import EVENT_READERS
from orgs.models import Organization
from orgs.services.checkpoint_keys import get_verifier_keys


@admin.register(Tree)
class TreeAdmin(OrganizationModelAdmin):
    """One tree for each organization, and one for the installation's own events, which superusers see."""

    is_read_only: ClassVar[bool] = True
    has_events: ClassVar[bool] = False
    reader_roles = EVENT_READERS
    list_display = ("organization_name", "size", "sealed_at", "published_size", "published_at")
    list_filter = ("published_at",)
    search_fields = ("origin",)
    ordering = ("origin",)
    fieldsets = (
        (None, {"fields": ("organization_name", "origin", "size", "root", "sealed_at")}),
        ("Signed head", {"fields": ("checkpoint_shown", "keys_shown")}),
        ("Published", {"fields": ("published_size", "published_at", "cosigned_shown")}),
    )
    readonly_fields = (
        "organization_name",
        "root",
        "sealed_at",
        "checkpoint_shown",
        "keys_shown",
        "cosigned_shown",
        "outlets_shown",
    )

    def get_urls(self) -> Any:
        download = self.admin_site.admin_view(self.download)
        return [path("<uuid:object_id>/checkpoint", download, name="audit_tree_checkpoint"), *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        # Where the installation sends events, and what is wrong there, is its operators' business.
        outlets = [("Outlets", {"fields": ("outlets_shown",)})] if request.user.is_superuser else []
        return [*fieldsets, *outlets]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        name = Organization.objects.filter(pk=OuterRef("organization_id")).values("name")
        sealed = Checkpoint.objects.filter(tree=OuterRef("pk")).order_by("-size").values("sealed_at")[:1]
        rows = super().get_queryset(request)
        trees: QuerySet[Any] = rows.annotate(organization_name=Subquery(name), newest_seal=Subquery(sealed))
        return trees

    def download(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Answer with the newest checkpoint as a file."""
        tree = self.get_queryset(request).filter(pk=object_id).first()
        checkpoint = get_newest_checkpoint(tree) if tree is not None else None
        if tree is None or checkpoint is None:
            raise Http404("there is no checkpoint of this tree")
        response = HttpResponse(checkpoint.note, content_type="text/plain; charset=utf-8")
        name = f"{tree.organization_id or 'installation'}-{checkpoint.size}.checkpoint"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    @display(description="organization", empty_value="the installation")
    def organization_name(self, obj: Any) -> str | None:
        name: str | None = obj.organization_name
        return name

    @display(description="root")
    def root(self, obj: Tree) -> str:
        return read_frontier(obj.size, obj.frontier).root().hex()

    @display(description="last sealed", empty_value="-")
    def sealed_at(self, obj: Any) -> str | None:
        return f"{obj.newest_seal:%Y-%m-%d %H:%M:%S} UTC" if obj.newest_seal is not None else None

    @display(description="checkpoint")
    def checkpoint_shown(self, obj: Tree) -> SafeString | str:
        newest = get_newest_checkpoint(obj)
        if newest is None:
            return "None yet: nothing is sealed. Is the sealer running? manage.py doctor says."
        address = reverse("admin:audit_tree_checkpoint", args=(obj.pk,))
        advice = '<a href="{}" class="underline">Download it</a>, and keep it out of reach of this machine.'
        return format_html('<pre class="kontext-json">{}</pre>' + advice, newest.note, address)

    @display(description="cosigned by witnesses")
    def cosigned_shown(self, obj: Tree) -> SafeString | str:
        notes = "\n".join(get_cosigned_note(checkpoint) for checkpoint in find_cosigned(obj, obj.size))
        return format_html('<pre class="kontext-json">{}</pre>', notes) if notes else "By nobody."

    @display(description="outlets")
    def outlets_shown(self, obj: Tree) -> SafeString | str:
        positions = obj.outletposition_set.order_by("outlet")
        lines = format_html_join("", "<li>{}: {} of {}{}</li>", (_describe(obj, position) for position in positions))
        return format_html('<ul class="list-disc ms-4">{}</ul>', lines) if lines else "None has been set."

    @display(description="keys that verify it")
    def keys_shown(self, obj: Tree) -> SafeString:
        keys = "\n".join(str(key) for key in get_verifier_keys(obj.origin))
        return format_html('<pre class="kontext-json">{}</pre>', keys)


def _describe(tree: Tree, position: OutletPosition) -> tuple[str, int, int, str]:
    trouble = (
        f", failing since {position.failing_since:%Y-%m-%d %H:%M:%S} UTC: {position.error}" if position.error else ""
    )
    return position.outlet_id, position.size, tree.size, trouble
