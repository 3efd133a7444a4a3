"""The control plane's URLs, app by app."""

from django.contrib import admin
from django.urls import include, path

from kontext.health import healthz
from kontext.styleguide import styleguide
from orgs.api.metadata import protected_resource

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("styleguide/", styleguide, name="styleguide"),
    path("admin/", admin.site.urls),
    path("", include("connections.urls")),
    path(".well-known/oauth-protected-resource/api/v1", protected_resource, name="api-protected-resource"),
    path("api/v1/", include("orgs.api.urls")),
    path("api/v1/", include("connections.api.urls")),
    path("api/v1/", include("policy.api.urls")),
    path("", include("policy.authzen.urls")),
    path("", include("kontext.portal.urls")),
    path("", include("policy.urls")),
    path("", include("orgs.urls")),
    path("", include("orgs.oauth.urls")),
    path("", include("orgs.sso.urls")),
    path("witness/", include("orgs.witness.urls")),
]

handler400 = "kontext.error_pages.bad_request"
handler403 = "kontext.error_pages.forbidden"
handler404 = "kontext.error_pages.not_found"
handler500 = "kontext.error_pages.server_error"
