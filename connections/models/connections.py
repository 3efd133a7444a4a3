"""A user's authenticated link to an integration, its secret, and the short-lived session that makes it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from connections.models.integrations import Integration
from connections.querysets import ConnectionQuerySet
from orgs.ids import uuid7
from orgs.models import Application, Organization, User
from orgs.querysets import OrganizationOwnedQuerySet


class Connection(models.Model):
    """One per user and integration; `user` is null for the organization's own (auth mode server_token).

    pending → active → reauthorization_required | revoked | error. `generation` counts stored credentials; a writer
    that read an older one loses. `is_renewable`: a refresh token came with it. `refresh_owner` and `refresh_deadline`
    fence a refresh across processes: an owner whose deadline has passed died, or could not store what it had received.
    `refresh_failures` counts failures that change nothing, `refresh_retry_at` is when the next attempt may come. Times
    of use are not kept here: the audit trail has them, and a write per call would cost more than the call.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Waiting for sign-in"
        ACTIVE = "active", "Active"
        REAUTHORIZATION_REQUIRED = "reauthorization_required", "Reconnect needed: calls fail"
        REVOKED = "revoked", "Revoked"
        ERROR = "error", "Error"

    class Revocation(models.TextChoices):
        """What became of the credential at the integration after a disconnect."""

        NONE = "", "not asked"
        PENDING = "pending", "Pending"
        REVOKED = "revoked", "Revoked"
        UNSUPPORTED = "unsupported", "The integration has no revocation"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="connections")
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="connections")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="connections")
    status = models.CharField(max_length=32, choices=Status.choices, default=Status.PENDING)
    account = models.CharField(max_length=255, blank=True)
    scopes = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    issuer = models.CharField(max_length=500, blank=True)
    generation = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    is_renewable = models.BooleanField(default=False, db_default=False)
    connected_at = models.DateTimeField(null=True, blank=True)
    last_refreshed_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=255, blank=True)
    refresh_owner = models.UUIDField(null=True, blank=True, editable=False)
    refresh_deadline = models.DateTimeField(null=True, blank=True, editable=False)
    refresh_failures = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    refresh_retry_at = models.DateTimeField(null=True, blank=True, editable=False)
    revocation = models.CharField(max_length=16, choices=Revocation.choices, blank=True, default="")
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ConnectionQuerySet["Connection"].as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(fields=("organization", "id"), name="connections_connection_in_organization"),
            models.UniqueConstraint(fields=("user", "integration"), name="connections_connection_once_per_user"),
            models.UniqueConstraint(
                fields=("integration",),
                condition=Q(user__isnull=True),
                name="connections_connection_once_per_organization",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.organization} at {self.integration}"


class Credential(models.Model):
    """What a connection authenticates with: one ciphertext of orgs.vault, bound to its row and generation.

    The plaintext is JSON: `access_token` and perhaps `refresh_token`, or `key`; with tokens, also the client they
    were issued to (`client_id`, `client_secret`, `auth_method`). It exists only during a request.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="credential")
    generation = models.PositiveIntegerField()
    ciphertext = models.BinaryField(editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OrganizationOwnedQuerySet["Credential"].as_manager()

    def __str__(self) -> str:
        return f"credential {self.generation} of {self.connection_id}"

    @property
    def associated_data(self) -> bytes:
        return credential_binding(self)


def credential_binding(credential: Credential) -> bytes:
    """Return the associated data of a credential's ciphertext: moved to another row, it no longer opens."""
    return f"credential:{credential.organization_id}:{credential.connection_id}:{credential.generation}".encode()


class ConnectSession(models.Model):
    """A short-lived, single-use errand: this person connects this integration, in the browser that began it.

    Only digests of the link's token and of OAuth's `state` are kept. `code_verifier` is a ciphertext of orgs.vault.
    `held_credential` is one too: what came back for another account than the connected one, until the person says
    whether it replaces that.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="connect_sessions")
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="connect_sessions")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    token_digest = models.CharField(max_length=64, unique=True)
    state_digest = models.CharField(max_length=64, null=True, blank=True, unique=True)
    browser_digest = models.CharField(max_length=64, blank=True)
    code_verifier = models.BinaryField(default=bytes, blank=True, editable=False)
    issuer = models.CharField(max_length=500, blank=True)
    return_url = models.CharField(max_length=500, blank=True)
    held_credential = models.BinaryField(default=bytes, blank=True, editable=False)
    held_account = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    objects = OrganizationOwnedQuerySet["ConnectSession"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(token_digest=""), name="connections_connectsession_has_token")
        ]

    def __str__(self) -> str:
        return f"{self.user} connects {self.integration}"


class ConnectInvitation(models.Model):
    """A short-lived link with which an application asks one person to connect what it needs.

    The link is good once: the browser that opens it first is the one that goes on, and `browser_digest` remembers it.
    Each integration is then connected with a ConnectSession of its own. Without `integration` it is about all that the
    application may use. `return_url` was checked when the link was made.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="+")
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    token_digest = models.CharField(max_length=64, unique=True)
    browser_digest = models.CharField(max_length=64, blank=True)
    return_url = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    objects = OrganizationOwnedQuerySet["ConnectInvitation"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(token_digest=""), name="connections_connectinvitation_has_token")
        ]

    def __str__(self) -> str:
        return f"{self.application} asks {self.user} to connect"


class Revocation(models.Model):
    """The receipt for one credential that ended here: what the integration said when told to end it, too.

    `errand` is a ciphertext of orgs.vault with the tokens and the client that must ask, so that the errand can be run
    when connection, client and integration are long gone. It is emptied once the matter is settled.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        REVOKED = "revoked", "Revoked"
        UNSUPPORTED = "unsupported", "The integration has no revocation"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="revocations")
    connection = models.ForeignKey(
        Connection, on_delete=models.SET_NULL, null=True, blank=True, related_name="revocations"
    )
    integration = models.CharField(max_length=120)
    account = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=120, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    errand = models.BinaryField(default=bytes, blank=True, editable=False)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = OrganizationOwnedQuerySet["Revocation"].as_manager()

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=("next_attempt_at",), condition=Q(status="pending"), name="connections_revocation_due")
        ]

    def __str__(self) -> str:
        return f"{self.integration}: {self.get_status_display()}"
