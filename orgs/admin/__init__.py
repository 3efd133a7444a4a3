"""The admin of this floor, and of the log beneath it, which may not know who administers what."""

from django.contrib import admin
from django.contrib.auth.models import Group as DjangoGroup
from oauth2_provider.models import (
    get_access_token_model,
    get_application_model,
    get_grant_model,
    get_id_token_model,
    get_refresh_token_model,
)
from social_django.models import Association, Nonce, UserSocialAuth

# Other people's admins know no organizations, and some show tokens.
for model in (
    DjangoGroup,
    get_access_token_model(),
    get_application_model(),
    get_grant_model(),
    get_id_token_model(),
    get_refresh_token_model(),
    Association,
    Nonce,
    UserSocialAuth,
):
    if admin.site.is_registered(model):
        admin.site.unregister(model)

from orgs.admin import (  # noqa: E402
    alerts,
    applications,
    audit_events,
    groups,
    identity_providers,
    notices,
    organizations,
    people,
    saved_searches,
    signing_keys,
    trees,
)

__all__ = [
    "alerts",
    "applications",
    "audit_events",
    "groups",
    "identity_providers",
    "notices",
    "organizations",
    "people",
    "saved_searches",
    "signing_keys",
    "trees",
]
