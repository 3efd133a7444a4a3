"""The control plane's URLs, app by app."""

from django.contrib import admin
from django.urls import include, path

from kontext.health import healthz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("", include("orgs.urls")),
    path("", include("orgs.oauth.urls")),
    path("", include("orgs.sso.urls")),
]
