from django.urls import path

from orgs import views

app_name = "orgs"

urlpatterns = [path("setup/<str:token>/", views.set_up, name="setup")]
