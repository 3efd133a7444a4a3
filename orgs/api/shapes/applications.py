"""Applications as the API reads and writes them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from orgs.api.serializers import CamelSerializer, SpaceSeparated
from orgs.models import Application
from orgs.oauth.metadata import get_metadata

_MOST_URIS = 50


class UriField(serializers.RegexField):
    """One URI: what is allowed of it says orgs.oauth.redirects, but two in one text would look like two."""

    default_error_messages = {"invalid": "Give one URI, without spaces."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(r"\A\S+\Z", max_length=500, **kwargs)


class ApplicationSerializer(CamelSerializer):
    id = serializers.UUIDField()
    client_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    homepage = serializers.CharField()
    client_type = serializers.ChoiceField(choices=["confidential", "public"])
    grant_types = serializers.ListField(child=serializers.CharField())
    redirect_uris = SpaceSeparated()
    status = serializers.ChoiceField(choices=Application.Status.choices)
    owner_id = serializers.UUIDField(allow_null=True)
    registration_source = serializers.CharField(help_text="`manual`, or how the application registered itself.")
    last_used_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField(source="created")
    updated_at = serializers.DateTimeField(source="updated")


class ApplicationWithSecretSerializer(CamelSerializer):
    application = ApplicationSerializer()
    client_secret = serializers.CharField(
        allow_null=True, help_text="Shown this once; kept as a hash. Null for a public application."
    )


class ApplicationChanges(CamelSerializer):
    """What PATCH takes; all of it is optional."""

    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=5000, allow_blank=True)
    homepage = serializers.URLField(max_length=200, allow_blank=True)
    grant_types = serializers.ListField(child=serializers.CharField(max_length=64), min_length=1, max_length=20)
    redirect_uris = serializers.ListField(child=UriField(), max_length=_MOST_URIS)
    owner_id = serializers.UUIDField(help_text="An active member of the organization.")
    status = serializers.ChoiceField(
        choices=["active", "suspended"], help_text="`suspended` ends its tokens at once; `active` approves it."
    )


class ApplicationInput(CamelSerializer):
    """What POST takes."""

    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=5000, allow_blank=True, required=False)
    homepage = serializers.URLField(max_length=200, allow_blank=True, required=False)
    client_type = serializers.ChoiceField(choices=["confidential", "public"], default="confidential")
    grant_types = serializers.ListField(
        child=serializers.CharField(max_length=64),
        min_length=1,
        max_length=20,
        required=False,
        help_text="Authorization code with refresh unless said otherwise.",
    )
    redirect_uris = serializers.ListField(child=UriField(), max_length=_MOST_URIS, required=False)
    owner_id = serializers.UUIDField(required=False, help_text="An active member; you, unless said otherwise.")


class OAuthChanges(CamelSerializer):
    grant_types = serializers.ListField(child=serializers.CharField(max_length=64), min_length=1, max_length=20)
    redirect_uris = serializers.ListField(child=UriField(), max_length=_MOST_URIS)


class OAuthSerializer(CamelSerializer):
    """Everything an application's own configuration needs, but its secret."""

    client_id = serializers.CharField()
    client_type = serializers.CharField()
    grant_types = serializers.ListField(child=serializers.CharField())
    redirect_uris = serializers.ListField(child=serializers.CharField())
    token_endpoint_auth_methods = serializers.ListField(child=serializers.CharField())
    issuer = serializers.URLField()
    authorization_endpoint = serializers.URLField()
    token_endpoint = serializers.URLField()
    revocation_endpoint = serializers.URLField()
    jwks_uri = serializers.URLField()
    scopes_supported = serializers.ListField(child=serializers.CharField())
    gateway_resource = serializers.URLField(help_text="The resource of tokens for all its integrations at once.")


def describe_oauth(application: Application) -> dict[str, Any]:
    metadata = get_metadata()
    is_public = application.client_type == Application.CLIENT_PUBLIC
    named = ("issuer", "authorization_endpoint", "token_endpoint", "revocation_endpoint", "jwks_uri")
    return {
        "client_id": application.client_id,
        "client_type": application.client_type,
        "grant_types": application.grant_types,
        "redirect_uris": application.redirect_uris.split(),
        "token_endpoint_auth_methods": ["none"] if is_public else ["client_secret_basic", "client_secret_post"],
        **{name: metadata[name] for name in named},
        "scopes_supported": metadata["scopes_supported"],
        "gateway_resource": f"{settings.GATEWAY_URL}/mcp",
    }
