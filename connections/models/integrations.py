"""External services, Kontext as their client, and what they can do."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models

from connections.injection import Recipe, make_recipe
from connections.querysets import CapabilityQuerySet, IntegrationQuerySet
from orgs.ids import uuid7
from orgs.models import Application, CaptureLevel, Organization, validate_paths
from orgs.querysets import OrganizationOwnedQuerySet

integration_slug_validator = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?\Z",
    "Use up to 32 lower-case letters, digits, hyphens and underscores; begin and end with a letter or digit.",
)

RECIPE_FIELDS = ("auth_mode", "key_header", "key_template", "key_basic", "api_headers", "dialect")


class Integration(models.Model):
    """An external service with its own authorization server. Kontext brokers its tokens and never issues them.

    `url` is the MCP endpoint (category gateway_remote_mcp) or the API's base (internal_mcp_credentials). `slug` is
    the first half of every capability name (`github:create_issue`) and the last part of the gateway's path.
    `capture_level` is the organization's where empty; `redacted_paths` add to the organization's.

    What came from the catalogue is kept as it was then: `catalogue_entry` and `catalogue_digest` say from which version
    of which entry, `parameters` what the operator entered. `dialect` is the part of it that OAuth goes by
    (connections.oauth.dialect), `key_fields` (each a name, a label, and whether it may be seen) and `key_check` are for
    a key that people paste.
    """

    class Category(models.TextChoices):
        GATEWAY_REMOTE_MCP = "gateway_remote_mcp", "MCP server behind the gateway"
        INTERNAL_MCP_CREDENTIALS = "internal_mcp_credentials", "Credentials only"

    class AuthMode(models.TextChoices):
        OAUTH = "oauth", "Each person signs in (OAuth)"
        USER_TOKEN = "user_token", "Each person pastes a key"
        SERVER_TOKEN = "server_token", "One key for the organization"
        NONE = "none", "No credential"

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "Active"
        DISABLED = "disabled", "Disabled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="integrations")
    slug = models.CharField(max_length=32, validators=[integration_slug_validator])
    name = models.CharField(max_length=120)
    url = models.CharField("URL", max_length=500)
    category = models.CharField(max_length=32, choices=Category.choices, default=Category.GATEWAY_REMOTE_MCP)
    auth_mode = models.CharField(max_length=16, choices=AuthMode.choices, default=AuthMode.OAUTH)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    # The header that carries a pasted or server key; {token} is the secret.
    key_header = models.CharField(max_length=64, default="Authorization")
    key_template = models.CharField(max_length=120, default="Bearer {token}")
    # What {basic} in the template encodes, and the headers that go along.
    key_basic = models.CharField(max_length=200, blank=True, default="")
    key_fields = models.JSONField(default=list, blank=True)
    key_check = models.JSONField(default=dict, blank=True)
    api_headers = models.JSONField(default=dict, blank=True)
    catalogue_entry = models.CharField(max_length=32, blank=True, default="")
    catalogue_digest = models.CharField(max_length=64, blank=True, default="")
    parameters = models.JSONField(default=dict, blank=True)
    dialect = models.JSONField(default=dict, blank=True)
    capture_level = models.CharField(max_length=16, choices=CaptureLevel.choices, blank=True, default="")
    redacted_paths = ArrayField(models.CharField(max_length=500), default=list, blank=True, validators=[validate_paths])
    discovered_at = models.DateTimeField(null=True, blank=True)
    discovery_error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = IntegrationQuerySet["Integration"].as_manager()

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=("organization", "id"), name="connections_integration_in_organization"),
            models.UniqueConstraint(fields=("organization", "slug"), name="connections_integration_slug"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def recipe(self) -> Recipe:
        """Return how requests to it are authenticated."""
        return make_recipe(**{name: getattr(self, name) for name in RECIPE_FIELDS})

    @property
    def resource(self) -> str:
        """Return the audience of tokens for this integration at the gateway (RFC 8707)."""
        return f"{settings.GATEWAY_URL}/mcp/{self.slug}"


class OAuthClient(models.Model):
    """Kontext as a client of an integration's authorization server.

    `metadata` is the server's RFC 8414 document as discovered; the endpoints used are copied out of it once and
    validated. A changed issuer never receives credentials obtained from the former one. `client_secret` is a
    ciphertext of orgs.vault. `client_id` is empty as long as the server is found and nobody has told us who we are
    there; `redirect_uri` is the one it was told.
    """

    class Registration(models.TextChoices):
        MANUAL = "manual", "Entered by an administrator"
        DYNAMIC = "dynamic", "Dynamic registration (RFC 7591)"
        METADATA_DOCUMENT = "metadata_document", "Client ID metadata document"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    integration = models.OneToOneField(Integration, on_delete=models.CASCADE, related_name="oauth_client")
    issuer = models.CharField(max_length=500)
    authorization_endpoint = models.CharField(max_length=500)
    token_endpoint = models.CharField(max_length=500)
    revocation_endpoint = models.CharField(max_length=500, blank=True)
    resource = models.CharField(max_length=500, blank=True)
    scopes = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    client_id = models.CharField("client ID", max_length=500, blank=True)
    client_secret = models.BinaryField(default=bytes, blank=True, editable=False)
    token_endpoint_auth_method = models.CharField(max_length=32, default="none")
    registration = models.CharField(max_length=24, choices=Registration.choices, default=Registration.MANUAL)
    redirect_uri = models.CharField("redirect URI", max_length=500, blank=True)
    registered_at = models.DateTimeField(null=True, blank=True)

    objects = OrganizationOwnedQuerySet["OAuthClient"].as_manager()

    class Meta:
        verbose_name = "OAuth client"

    def __str__(self) -> str:
        return f"{self.client_id or 'no client'} at {self.issuer}"


class ApplicationIntegration(models.Model):
    """An integration that an application may use at all; policy decides about each call."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="application_integrations")
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="application_integrations")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrganizationOwnedQuerySet["ApplicationIntegration"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("application", "integration"), name="connections_applicationintegration_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.application} may use {self.integration}"


class Capability(models.Model):
    """One operation of an integration, the atom of access control: `github:create_issue`.

    `digest` pins the definition an administrator has seen; a tool that comes back with another one is held.
    `klass` starts from the tool's annotations, which are claims, until `klass_confirmed`.
    """

    class Kind(models.TextChoices):
        TOOL = "tool", "Tool"
        RESOURCE = "resource", "Resource"
        PROMPT = "prompt", "Prompt"

    class Klass(models.TextChoices):
        READ = "read", "Reads"
        WRITE = "write", "Writes"
        DESTRUCTIVE = "destructive", "Destroys"

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        HELD = "held", "Held: definition changed"
        REMOVED = "removed", "Gone from the integration"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="capabilities")
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="capabilities")
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.TOOL)
    title = models.CharField(max_length=255, blank=True)
    description = models.TextField(blank=True)
    klass = models.CharField("class", max_length=16, choices=Klass.choices, default=Klass.WRITE)
    klass_confirmed = models.BooleanField("class confirmed", default=False)
    input_schema = models.JSONField(default=dict, blank=True)
    definition = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    held_definition = models.JSONField(null=True, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    discovered_at = models.DateTimeField(auto_now_add=True)

    objects = CapabilityQuerySet["Capability"].as_manager()

    class Meta:
        verbose_name_plural = "capabilities"
        ordering = ("integration", "name")
        constraints = [
            models.UniqueConstraint(fields=("integration", "kind", "name"), name="connections_capability_name")
        ]

    def __str__(self) -> str:
        return f"{self.integration.slug}:{self.name}"
