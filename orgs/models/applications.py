"""Applications, what people let them do, and the tokens they hold."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from oauth2_provider.models import AbstractApplication

from orgs.ids import client_id, uuid7
from orgs.models.organizations import Organization
from orgs.models.people import User
from orgs.oauth.redirects import find_redirect_uri_problem, is_redirect_uri_registered
from orgs.querysets import ApplicationQuerySet, DelegationQuerySet, IssuedTokenQuerySet


def _default_grant_types() -> list[str]:
    return ["authorization_code", "refresh_token"]


class Application(AbstractApplication):
    """A non-human actor acting for users: the toolkit's client with an organization, an owner and a status.

    `grant_types` holds the names of RFC 6749 and its extensions and replaces the toolkit's single
    `authorization_grant_type`. `organization` is null only while an application that registered itself waits for the
    first person who consents; it then belongs to that person's organization. `hash_client_secret` stays true.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        PENDING = "pending", "Waiting for approval"
        SUSPENDED = "suspended", "Suspended"

    # The toolkit's key is a number.
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)  # type: ignore[assignment]
    client_id = models.CharField("client ID", max_length=255, unique=True, default=client_id)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="applications"
    )
    owner = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="owned_applications")
    description = models.TextField(blank=True)
    homepage = models.URLField(blank=True)
    grant_types = ArrayField(models.CharField(max_length=64), default=_default_grant_types)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    last_used_at = models.DateTimeField(null=True, blank=True)
    authorization_grant_type = models.CharField(
        max_length=44,
        choices=AbstractApplication.GRANT_TYPES,
        default=AbstractApplication.GRANT_AUTHORIZATION_CODE,
        editable=False,
    )

    objects = ApplicationQuerySet["Application"].as_manager()

    class Meta(AbstractApplication.Meta):
        abstract = False
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=("organization", "id"), name="orgs_application_in_organization"),
            models.CheckConstraint(
                condition=Q(organization__isnull=False) | (Q(status="pending") & ~Q(registration_source="manual")),
                name="orgs_application_unclaimed_only_when_self_registered",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.client_id

    @property
    def is_active(self) -> bool:
        return self.status == self.Status.ACTIVE and self.organization is not None and self.organization.is_active

    def is_usable(self, request: Any) -> bool:
        """Answer the toolkit, which asks before each request.

        A pending application may come to the consent page, where it is told to wait; tokens need `is_active`.
        """
        return self.status != self.Status.SUSPENDED

    def get_allowed_schemes(self) -> list[str]:
        """Answer the toolkit; http is for this machine's own addresses alone (see `clean`)."""
        return ["https", "http"]

    def redirect_uri_allowed(self, uri: str) -> bool:
        return is_redirect_uri_registered(uri, self.redirect_uris.split())

    def allows_grant_type(self, *grant_types: str) -> bool:
        """Answer the toolkit, which asks with its own spelling (`authorization-code`)."""
        return any(grant.replace("-", "_") in self._toolkit_grants() for grant in grant_types)

    def _toolkit_grants(self) -> set[str]:
        return {grant.replace("-", "_") for grant in self.grant_types}

    def clean(self) -> None:
        self.authorization_grant_type = self.GRANT_AUTHORIZATION_CODE
        if not {"authorization_code"} & set(self.grant_types):
            self.authorization_grant_type = self.GRANT_CLIENT_CREDENTIALS
        problems = {uri: find_redirect_uri_problem(uri) for uri in self.redirect_uris.split()}
        if any(problems.values()):
            raise ValidationError(
                {"redirect_uris": [f"{uri[:200]} {problem}" for uri, problem in problems.items() if problem]}
            )
        super().clean()

    def get_absolute_url(self) -> str:
        return f"/applications/{self.pk}/"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.hash_client_secret = True
        super().save(*args, **kwargs)


class Delegation(models.Model):
    """A user's consent to an application, revocable. A token issued before `granted_at` does not count.

    `resources` are the exact resource URLs consented to (RFC 8707); `redirect_host` is where the answer went.
    While `paused_at` is set its tokens stay, and everything that is asked with them is refused.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="delegations")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="delegations")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="delegations")
    scopes = ArrayField(models.CharField(max_length=255), default=list)
    resources = ArrayField(models.CharField(max_length=500), default=list)
    redirect_host = models.CharField(max_length=255, blank=True)
    granted_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = DelegationQuerySet["Delegation"].as_manager()

    class Meta:
        ordering = ("-granted_at",)
        constraints = [
            models.UniqueConstraint(
                fields=("user", "application"), condition=Q(revoked_at__isnull=True), name="orgs_delegation_one_live"
            )
        ]

    def __str__(self) -> str:
        return f"{self.application} for {self.user}"

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None


class IssuedToken(models.Model):
    """An access token that was issued, by its `jti`: what revocation needs. The token itself is not kept.

    `token_checksum` is the toolkit's (hex SHA-256): deleting the toolkit's row revokes this one, by trigger.
    """

    jti = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="issued_tokens")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="issued_tokens")
    scope = models.CharField(max_length=500, blank=True)
    resource = models.CharField(max_length=500)
    token_checksum = models.CharField(max_length=64, unique=True)
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = IssuedTokenQuerySet["IssuedToken"].as_manager()

    class Meta:
        ordering = ("-issued_at",)
        indexes = [
            models.Index(fields=("expires_at",), condition=Q(revoked_at__isnull=False), name="orgs_issuedtoken_revoked")
        ]

    def __str__(self) -> str:
        return str(self.jti)
