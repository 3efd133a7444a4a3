from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant

from orgs.admin_site import OrganizationModelAdmin, object_action
from orgs.http import make_actor
from orgs.models import CheckpointKey, SigningKey
from orgs.services.checkpoint_keys import rotate_checkpoint_key
from orgs.services.rotate_signing_keys import rotate_signing_keys
from orgs.templatetags.kontext_ui import status_chip


@admin.register(SigningKey)
class SigningKeyAdmin(OrganizationModelAdmin):
    """The keys that sign access tokens, for superusers. The private half is sealed and never shown."""

    is_read_only: ClassVar[bool] = True
    list_display = ("kid", "state_shown", "created_at", "retired_at")
    list_filter = ("state",)
    search_fields = ("kid",)
    fields = ("kid", "state_shown", "public_jwk", "created_at", "retired_at")
    actions_detail = ("rotate",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_superuser_permission(request)

    @object_action(
        description="Rotate keys",
        consequence="The next published key begins to sign, this one only verifies from now on, and another one is "
        "published. No token fails: each is verified with the key that signed it.",
        button="Rotate",
        done="Rotated. Tokens are signed with the next key from now on.",
        variant=ActionVariant.WARNING,
        permission="superuser",
        is_offered=lambda key: key.state == SigningKey.State.ACTIVE,
    )
    def rotate(self, request: HttpRequest, obj: SigningKey) -> None:
        rotate_signing_keys()

    @display(description="state", ordering="state")
    def state_shown(self, obj: SigningKey) -> SafeString:
        tones: dict[str, str] = {SigningKey.State.ACTIVE: "active", SigningKey.State.NEXT: "draft"}
        return status_chip(tones.get(obj.state, "expired"), obj.get_state_display())


@admin.register(CheckpointKey)
class CheckpointKeyAdmin(OrganizationModelAdmin):
    """The keys that sign the audit trees, for superusers. The private half is sealed and never shown."""

    is_read_only: ClassVar[bool] = True
    list_display = ("__str__", "state_shown", "created_at", "retired_at")
    list_filter = ("created_at",)
    search_fields = ("id",)
    fields = ("public_shown", "state_shown", "created_at", "retired_at")
    readonly_fields = ("public_shown", "state_shown")
    actions_detail = ("rotate",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_superuser_permission(request)

    @object_action(
        description="Rotate key",
        consequence="A new key signs the audit trees from now on. For a month this one signs along, so that whoever "
        "knows only it can follow; the new one is published with the next checkpoint.",
        button="Rotate",
        done="Rotated. Checkpoints are signed with both keys for a month.",
        variant=ActionVariant.WARNING,
        permission="superuser",
        is_offered=lambda key: key.retired_at is None,
    )
    def rotate(self, request: HttpRequest, obj: CheckpointKey) -> None:
        rotate_checkpoint_key(actor=make_actor(user=request.user))

    @display(description="public key (Ed25519)")
    def public_shown(self, obj: CheckpointKey) -> str:
        return bytes(obj.public_key).hex()

    @display(description="state")
    def state_shown(self, obj: CheckpointKey) -> SafeString:
        return status_chip("active", "Signing") if obj.retired_at is None else status_chip("expired", "Retired")
