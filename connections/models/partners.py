"""A product that signs its people in by itself, and sends them here to connect their accounts."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from orgs.ids import uuid7
from orgs.models import Application, Organization
from orgs.querysets import OrganizationOwnedQuerySet

# All asymmetric: with a shared secret, whoever verifies could sign.
ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")


def _default_algorithms() -> list[str]:
    return ["ES256", "RS256"]


class ExternalAuth(models.Model):
    """Whose tokens say who a product's person is: `issuer`, by the keys at `jwks_url`, for `audience`.

    The person is known here by issuer and subject, as at sign-in. Of the product's own key only the SHA-256 is kept; it
    is random and long, so nobody can guess it back. `required_claims` are further members that must be equal.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    application = models.OneToOneField(Application, on_delete=models.CASCADE, related_name="external_auth")
    is_enabled = models.BooleanField("enabled", default=False)
    issuer = models.CharField(max_length=255)
    jwks_url = models.CharField("address of the keys", max_length=500)
    audience = models.CharField(max_length=255)
    allowed_algorithms = ArrayField(models.CharField(max_length=16), default=_default_algorithms)
    required_claims = models.JSONField(default=dict, blank=True)
    allowed_return_urls = ArrayField(models.CharField(max_length=500), default=list, blank=True)
    max_token_age_seconds = models.PositiveIntegerField(
        "greatest age of a token, in seconds", default=300, validators=[MinValueValidator(10), MaxValueValidator(86400)]
    )
    partner_api_key_digest = models.CharField(max_length=64, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OrganizationOwnedQuerySet["ExternalAuth"].as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "external sign-in"

    def __str__(self) -> str:
        return f"{self.application}: {self.issuer}"
