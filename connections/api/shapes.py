"""What integrations, capabilities and connections look like in requests and answers. No secret goes out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.definitions import digest_definition
from connections.models import Capability, Connection, ExternalAuth, Integration, OAuthClient
from connections.models.partners import ALGORITHMS
from orgs.api.serializers import (
    CamelSerializer,
    NamedSerializer,
    NullableObjectField,
    ObjectField,
    PageQuery,
    name_of,
)

_KEYS_AND_TOKENS = 8000
_AUTH_METHODS = ["none", "client_secret_basic", "client_secret_post"]


class IntegrationSerializer(CamelSerializer):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()
    resource = serializers.CharField(help_text="Its address at the gateway: the resource of tokens for it.")
    category = serializers.ChoiceField(choices=Integration.Category.choices)
    auth_mode = serializers.ChoiceField(choices=Integration.AuthMode.choices)
    status = serializers.ChoiceField(choices=Integration.Status.choices)
    key_header = serializers.CharField()
    key_template = serializers.CharField()
    catalogue_entry = serializers.CharField(help_text="The service of the catalogue it was added from, if any.")
    parameters = serializers.DictField(child=serializers.CharField(), help_text="What that service was told.")
    discovered_at = serializers.DateTimeField(allow_null=True)
    discovery_error = serializers.CharField(help_text="What went wrong at the last discovery; empty if nothing.")
    created_at = serializers.DateTimeField()


class IntegrationChanges(CamelSerializer):
    """What PATCH takes; all of it is optional."""

    slug = serializers.CharField(max_length=32)
    name = serializers.CharField(max_length=120)
    url = serializers.CharField(max_length=500)
    category = serializers.ChoiceField(choices=Integration.Category.choices)
    auth_mode = serializers.ChoiceField(choices=Integration.AuthMode.choices)
    key_header = serializers.CharField(max_length=64)
    key_template = serializers.CharField(max_length=120)
    status = serializers.ChoiceField(
        choices=["active", "disabled"], help_text="A draft becomes active by validating it, not here."
    )


class IntegrationInput(CamelSerializer):
    """What POST takes: a service of the catalogue with its parameters, or everything by hand."""

    catalogue_entry = serializers.CharField(
        max_length=32, required=False, help_text="A service that Kontext knows: `github`. The rest is then optional."
    )
    parameters = serializers.DictField(
        child=serializers.CharField(max_length=500), required=False, help_text="What that service asks for."
    )
    slug = serializers.CharField(
        max_length=32, required=False, help_text="First half of its capabilities' names: `github`."
    )
    name = serializers.CharField(max_length=120, required=False)
    url = serializers.CharField(
        max_length=500, required=False, help_text="The MCP endpoint, or the API's base. Not with `catalogueEntry`."
    )
    category = serializers.ChoiceField(choices=Integration.Category.choices, required=False)
    auth_mode = serializers.ChoiceField(choices=Integration.AuthMode.choices, required=False)
    key_header = serializers.CharField(max_length=64, required=False)
    key_template = serializers.CharField(max_length=120, required=False, help_text="With `{token}` for the key.")


class ValidationSerializer(CamelSerializer):
    integration = IntegrationSerializer()
    ok = serializers.BooleanField()
    error = serializers.CharField(help_text="What went wrong; empty if nothing.")
    capability_count = serializers.IntegerField(help_text="How many capabilities it offers now.")


class OAuthClientSerializer(CamelSerializer):
    """Who Kontext is at the integration's authorization server."""

    issuer = serializers.CharField()
    authorization_endpoint = serializers.CharField()
    token_endpoint = serializers.CharField()
    revocation_endpoint = serializers.CharField()
    resource = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    client_id = serializers.CharField(help_text="Empty until somebody enters one, or registration gave one.")
    client_secret_configured = serializers.SerializerMethodField(method_name="has_secret")
    token_endpoint_auth_method = serializers.CharField()
    registration = serializers.ChoiceField(choices=OAuthClient.Registration.choices)
    redirect_uri = serializers.CharField(help_text="Register this one at the integration.")
    registered_at = serializers.DateTimeField(allow_null=True)

    def has_secret(self, client: OAuthClient) -> bool:
        return bool(client.client_secret)


class OAuthClientInput(CamelSerializer):
    """What PUT takes. Endpoints that are left out stay as discovery found them."""

    client_id = serializers.CharField(max_length=500)
    client_secret = serializers.CharField(
        max_length=_KEYS_AND_TOKENS, allow_blank=True, required=False, write_only=True, trim_whitespace=False
    )
    issuer = serializers.CharField(max_length=500, required=False)
    authorization_endpoint = serializers.CharField(max_length=500, required=False)
    token_endpoint = serializers.CharField(max_length=500, required=False)
    revocation_endpoint = serializers.CharField(max_length=500, allow_blank=True, required=False)
    resource = serializers.CharField(max_length=500, allow_blank=True, required=False)
    scopes = serializers.ListField(child=serializers.CharField(max_length=255), max_length=200, required=False)
    token_endpoint_auth_method = serializers.ChoiceField(choices=_AUTH_METHODS, required=False)


class CapabilitySerializer(CamelSerializer):
    id = serializers.UUIDField()
    integration_id = serializers.UUIDField()
    tool_id = serializers.CharField(source="__str__")
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Capability.Kind.choices)
    title = serializers.CharField()
    description = serializers.CharField()
    klass = serializers.ChoiceField(choices=Capability.Klass.choices)
    klass_confirmed = serializers.BooleanField(help_text="Somebody said so; else it is what the tool claims.")
    status = serializers.ChoiceField(choices=Capability.Status.choices)
    digest = serializers.CharField(help_text="SHA-256 of the definition that is in use.")
    held_digest = serializers.SerializerMethodField(method_name="get_held_digest")
    discovered_at = serializers.DateTimeField()

    @extend_schema_field(
        {"type": "string", "nullable": True, "description": "SHA-256 of the definition that waits to be accepted."}
    )
    def get_held_digest(self, capability: Capability) -> str | None:
        return digest_definition(capability.held_definition) if capability.held_definition is not None else None


class CapabilityDetailSerializer(CapabilitySerializer):
    input_schema = ObjectField()
    definition = ObjectField()
    held_definition = NullableObjectField()


class CapabilityChanges(CamelSerializer):
    """What PATCH takes; all of it is optional."""

    accept = serializers.CharField(
        max_length=64, help_text="`heldDigest` of the definition that you looked at and take into use."
    )
    klass = serializers.ChoiceField(choices=Capability.Klass.choices)


class ConnectionSerializer(CamelSerializer):
    id = serializers.UUIDField()
    integration = serializers.SerializerMethodField(method_name="get_integration")
    user = serializers.SerializerMethodField(method_name="get_user")
    status = serializers.ChoiceField(choices=Connection.Status.choices)
    account = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)
    connected_at = serializers.DateTimeField(allow_null=True)
    last_refreshed_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField()
    revocation = serializers.CharField(help_text="What the integration said when it was told: pending, revoked, …")
    revoked_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    @extend_schema_field(NamedSerializer)
    def get_integration(self, connection: Connection) -> dict[str, Any] | None:
        return name_of(connection.integration)

    @extend_schema_field(NamedSerializer(allow_null=True, help_text="Null for the organization's own."))
    def get_user(self, connection: Connection) -> dict[str, Any] | None:
        return name_of(connection.user)


class OwnConnectionSerializer(CamelSerializer):
    connection = ConnectionSerializer(allow_null=True)


class ConnectInput(CamelSerializer):
    """What POST takes: a key where the integration takes keys, nothing where people sign in there."""

    key = serializers.CharField(max_length=_KEYS_AND_TOKENS, required=False, write_only=True, trim_whitespace=False)
    key_parts = serializers.DictField(
        child=serializers.CharField(max_length=_KEYS_AND_TOKENS, trim_whitespace=False),
        required=False,
        write_only=True,
        help_text="In place of `key`, where a key has several parts: `email` and `token`.",
    )
    application_id = serializers.UUIDField(required=False, help_text="For which application, if for one.")


class ConnectAnswer(CamelSerializer):
    """A link that only you can open, or the connection that the key made."""

    connect_url = serializers.CharField(allow_null=True)
    session_id = serializers.UUIDField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    connection = ConnectionSerializer(allow_null=True)


class ExternalAuthSerializer(CamelSerializer):
    """How a product's own sign-in is trusted."""

    enabled = serializers.BooleanField(source="is_enabled")
    issuer = serializers.CharField()
    jwks_url = serializers.CharField()
    audience = serializers.CharField()
    allowed_algorithms = serializers.ListField(child=serializers.CharField())
    required_claims = ObjectField()
    allowed_return_urls = serializers.ListField(child=serializers.CharField())
    max_token_age_seconds = serializers.IntegerField()
    partner_api_key_configured = serializers.SerializerMethodField(method_name="has_key")

    def has_key(self, row: ExternalAuth) -> bool:
        return bool(row.partner_api_key_digest)


class ExternalAuthInput(CamelSerializer):
    """What PUT takes. A key that is left out stays as it is."""

    enabled = serializers.BooleanField(source="is_enabled", required=False)
    issuer = serializers.CharField(max_length=255)
    jwks_url = serializers.CharField(max_length=500, help_text="Where the product's public keys are.")
    audience = serializers.CharField(max_length=255)
    allowed_algorithms = serializers.ListField(child=serializers.ChoiceField(choices=ALGORITHMS), required=False)
    required_claims = ObjectField(required=False)
    allowed_return_urls = serializers.ListField(
        child=serializers.CharField(max_length=500), max_length=50, required=False
    )
    max_token_age_seconds = serializers.IntegerField(min_value=10, max_value=86400, required=False)
    partner_api_key = serializers.CharField(
        min_length=32, max_length=500, required=False, write_only=True, help_text="Random. Only its digest is kept."
    )


class AllowedIntegrations(CamelSerializer):
    integration_ids = serializers.ListField(child=serializers.UUIDField(), max_length=500)


class ReachSerializer(CamelSerializer):
    """One application and the integrations it may use."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    status = serializers.CharField()
    integrations = NamedSerializer(many=True)
    user_count = serializers.IntegerField(help_text="How many people it may act for now.")


class IntegrationQuery(PageQuery):
    status = serializers.ChoiceField(choices=Integration.Status.choices, required=False)
    auth_mode = serializers.ChoiceField(choices=Integration.AuthMode.choices, required=False)
    category = serializers.ChoiceField(choices=Integration.Category.choices, required=False)
    slug = serializers.CharField(max_length=32, required=False)


class CapabilityQuery(PageQuery):
    integration_id = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(choices=Capability.Status.choices, required=False)
    klass = serializers.ChoiceField(choices=Capability.Klass.choices, required=False)
    kind = serializers.ChoiceField(choices=Capability.Kind.choices, required=False)
    name = serializers.CharField(max_length=255, required=False)


class ConnectionQuery(PageQuery):
    integration_id = serializers.UUIDField(required=False)
    user_id = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(choices=Connection.Status.choices, required=False)
