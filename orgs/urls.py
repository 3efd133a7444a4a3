from django.urls import path

from orgs import views

app_name = "orgs"

urlpatterns = [
    path("setup/<str:token>/", views.set_up, name="setup"),
    path("signin/", views.sign_in, name="sign_in"),
    path("signout/", views.sign_out, name="sign_out"),
    path("organization/", views.switch_organization, name="switch_organization"),
    path("appearance/", views.appearance, name="appearance"),
]
