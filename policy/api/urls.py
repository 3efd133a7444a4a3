from django.urls import path

from policy.api import views

app_name = "management_policy"

urlpatterns = [
    path("rules", views.RulesView.as_view(), name="rules"),
    path("rules/simulate", views.SimulateView.as_view(), name="simulate"),
    path("rules/<uuid:rule_id>", views.RuleDetailView.as_view(), name="rule"),
    path("baselines", views.BaselinesView.as_view(), name="baselines"),
    path("baselines/<slug:layer>", views.BaselineDetailView.as_view(), name="baseline"),
]
