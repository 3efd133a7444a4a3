from django.urls import path

from policy.api import approval_views, views

app_name = "management_policy"

urlpatterns = [
    path("rules", views.RulesView.as_view(), name="rules"),
    path("rules/simulate", views.SimulateView.as_view(), name="simulate"),
    path("rules/<uuid:rule_id>", views.RuleDetailView.as_view(), name="rule"),
    path("baselines", views.BaselinesView.as_view(), name="baselines"),
    path("baselines/<slug:layer>", views.BaselineDetailView.as_view(), name="baseline"),
    path("approvals", approval_views.ApprovalsView.as_view(), name="approvals"),
    path("approvals/<uuid:approval_id>", approval_views.ApprovalDetailView.as_view(), name="approval"),
    path("approvals/<uuid:approval_id>/approve", approval_views.ApproveView.as_view(), name="approve"),
    path("approvals/<uuid:approval_id>/deny", approval_views.DenyView.as_view(), name="deny"),
    path("approvals/<uuid:approval_id>/withdraw", approval_views.WithdrawApprovalView.as_view(), name="withdraw"),
    path("rule-requests", approval_views.RuleRequestsView.as_view(), name="rule_requests"),
    path("rule-requests/<uuid:rule_request_id>", approval_views.RuleRequestDetailView.as_view(), name="rule_request"),
    path("rule-requests/<uuid:rule_request_id>/accept", approval_views.AcceptView.as_view(), name="accept"),
    path("rule-requests/<uuid:rule_request_id>/decline", approval_views.DeclineView.as_view(), name="decline"),
    path(
        "rule-requests/<uuid:rule_request_id>/withdraw",
        approval_views.WithdrawRequestView.as_view(),
        name="withdraw_request",
    ),
]
