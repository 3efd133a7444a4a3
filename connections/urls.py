from django.urls import path

from connections import partner_views, views

app_name = "connections"

urlpatterns = [
    path("connections/", views.list_connections, name="list"),
    path("connections/<uuid:integration_id>/connect/", views.begin, name="begin"),
    path("connections/<uuid:connection_id>/disconnect/", views.disconnect, name="disconnect"),
    path("connect/<str:token>/", views.connect, name="connect"),
    path("connect/accounts/<uuid:session_id>/", views.choose_account, name="choose_account"),
    path("partner/connect-session", partner_views.connect_session, name="partner_connect_session"),
    path("oauth/connect", views.hosted_connect, name="hosted_connect"),
    path("oauth/callback", views.callback, name="callback"),
    path("oauth/client.json", views.client_metadata, name="client_metadata"),
]
