from django.urls import path

from policy import views

app_name = "policy"

urlpatterns = [
    path("rules/", views.rules, name="rules"),
    path("rules/add/", views.add, name="add"),
    path("rules/<uuid:rule_id>/", views.change, name="change"),
    path("rules/<uuid:rule_id>/delete/", views.delete, name="delete"),
]
