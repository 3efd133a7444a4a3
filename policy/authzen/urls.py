from django.urls import path

from policy.authzen import metadata, views

app_name = "authzen"

urlpatterns = [
    path(".well-known/authzen-configuration", metadata.configuration, name="configuration"),
    path(".well-known/oauth-protected-resource/access/v1", metadata.protected_resource, name="protected-resource"),
    path("access/v1/evaluation", views.EvaluationView.as_view(), name="evaluation"),
    path("access/v1/evaluations", views.EvaluationsView.as_view(), name="evaluations"),
    path("access/v1/search/subject", views.SubjectSearchView.as_view(), name="search-subject"),
    path("access/v1/search/resource", views.ResourceSearchView.as_view(), name="search-resource"),
    path("access/v1/search/action", views.ActionSearchView.as_view(), name="search-action"),
]
