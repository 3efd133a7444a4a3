"""The tenant, where its people sign in, and the number that tells the data plane that something changed."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from audit.capture import Level
from audit.redaction import parse_paths
from orgs.ids import uuid7
from orgs.querysets import OrganizationOwnedQuerySet

slug_validator = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z",
    "Use lower-case letters, digits and hyphens; begin and end with a letter or digit.",
)


class CaptureLevel(models.TextChoices):
    """What is kept of the content of calls, beside the keyed digests that every event has (audit.capture)."""

    DIGEST = Level.DIGEST.value, "Digests only"
    SUMMARY = Level.SUMMARY.value, "Summary: names, types and sizes, no values"
    FULL = Level.FULL.value, "Full: the content, without what looks like a secret"


def validate_paths(paths: list[str]) -> None:
    try:
        parse_paths(paths)
    except ValueError as error:
        raise ValidationError(str(error)) from None


class Organization(models.Model):
    """A company, a team, or an environment. Nothing in one can see, use or affect anything in another.

    `capture_level` holds for every integration that has none of its own; `redacted_paths` for all (audit.redaction).
    """

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"

    class ClientRegistration(models.TextChoices):
        """What happens to an application that registers itself (RFC 7591, client ID metadata documents)."""

        CLOSED = "closed", "Refused"
        APPROVAL = "approval", "Waits for an administrator"
        OPEN = "open", "Active at once"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(max_length=63, unique=True, validators=[slug_validator])
    name = models.CharField(max_length=120)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    client_registration = models.CharField(
        max_length=16, choices=ClientRegistration.choices, default=ClientRegistration.APPROVAL
    )
    capture_level = models.CharField(max_length=16, choices=CaptureLevel.choices, default=CaptureLevel.DIGEST)
    redacted_paths = ArrayField(models.CharField(max_length=500), default=list, blank=True, validators=[validate_paths])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.status == self.Status.ACTIVE


class IdentityProvider(models.Model):
    """Where the people of an organization sign in: any OpenID Connect provider, by issuer.

    `client_secret` is a ciphertext of orgs.vault. `email_domains` are lower-case and belong to one provider only;
    they find the provider at sign-in and never link accounts.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="identity_providers")
    name = models.CharField(max_length=120)
    issuer = models.CharField(max_length=255)
    client_id = models.CharField(max_length=255)
    client_secret = models.BinaryField(default=bytes, blank=True, editable=False)
    email_domains = ArrayField(models.CharField(max_length=253), default=list, blank=True)
    scopes = models.CharField(max_length=255, default="openid email profile")
    group_claim = models.CharField(max_length=120, default="groups", blank=True)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrganizationOwnedQuerySet["IdentityProvider"].as_manager()

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=("organization", "id"), name="orgs_identityprovider_in_organization"),
            models.UniqueConstraint(fields=("organization", "name"), name="orgs_identityprovider_name"),
        ]

    def __str__(self) -> str:
        return self.name


class SnapshotVersion(models.Model):
    """How often the facts of an organization that the data plane reads have changed.

    Triggers write it (orgs/migrations/0002) and NOTIFY `kontext_snapshot` with
    `<organization_id>:<version>:<table>`. No foreign key: the number must outlive the organization, so that a
    gateway learns of its deletion. System-wide facts (signing keys) count under the nil UUID.
    """

    organization_id = models.UUIDField(primary_key=True)
    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.organization_id}:{self.version}"
