from django.urls import path

from orgs.sso import views

app_name = "sso"

urlpatterns = [
    path("sso/<uuid:provider_id>/", views.begin, name="begin"),
    path("sso/<uuid:provider_id>/complete/", views.complete, name="complete"),
]
