"""Everything under /oauth2/ and the documents that lead there. The namespace is the one the toolkit reverses."""

from django.urls import path

from orgs.oauth import metadata, views
from orgs.oauth.authorize import AuthorizeView
from orgs.oauth.registration import RegisterView

app_name = "oauth2_provider"

urlpatterns = [
    path("oauth2/authorize", AuthorizeView.as_view(), name="authorize"),
    path("oauth2/register", RegisterView.as_view(), name="register"),
    path("oauth2/token", views.TokenView.as_view(), name="token"),
    path("oauth2/revoke", views.RevokeView.as_view(), name="revoke"),
    path("oauth2/introspect", views.IntrospectView.as_view(), name="introspect"),
    path("oauth2/userinfo", views.UserInfoView.as_view(), name="userinfo"),
    path(".well-known/oauth-authorization-server", metadata.authorization_server, name="metadata"),
    path(".well-known/openid-configuration", metadata.openid_configuration, name="openid-configuration"),
    path(".well-known/jwks.json", metadata.jwks, name="jwks"),
]
