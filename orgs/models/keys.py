"""Keys at rest. Every private part is a ciphertext of orgs.vault."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orgs.ids import uuid7
from orgs.models.organizations import Organization


class SigningKey(models.Model):
    """An ES256 key for access tokens: published before it signs, kept until the last token it signed expired."""

    class State(models.TextChoices):
        NEXT = "next", "Published, not signing yet"
        ACTIVE = "active", "Signing"
        RETIRED = "retired", "Verifying only"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kid = models.CharField("key ID", max_length=64, unique=True)
    public_jwk = models.JSONField()
    private_key = models.BinaryField(editable=False)
    state = models.CharField(max_length=16, choices=State.choices, default=State.NEXT)
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("state",), condition=Q(state="active"), name="orgs_signingkey_one_active")
        ]

    def __str__(self) -> str:
        return self.kid


class CheckpointKey(models.Model):
    """An Ed25519 key that signs the checkpoints of every audit tree.

    A retired key goes on signing beside the active one for a while, so that who trusts only it can follow.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    public_key = models.BinaryField(unique=True, editable=False)
    private_key = models.BinaryField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("retired_at",),
                condition=Q(retired_at=None),
                nulls_distinct=False,
                name="orgs_checkpointkey_one_active",
            )
        ]

    def __str__(self) -> str:
        return bytes(self.public_key).hex()[:16]


class WitnessKey(models.Model):
    """The Ed25519 key that cosigns the checkpoints of other logs, and the name it is trusted under. There is one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=255)
    public_key = models.BinaryField(unique=True, editable=False)
    private_key = models.BinaryField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class DataKey(models.Model):
    """An organization's data key, wrapped by the root key. Old versions stay until nothing is sealed with them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="data_keys")
    version = models.PositiveIntegerField(default=1)
    wrapped_key = models.BinaryField(editable=False)
    root_key_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("organization", "version"), name="orgs_datakey_version")]

    def __str__(self) -> str:
        return f"data key {self.version} of {self.organization_id}"
