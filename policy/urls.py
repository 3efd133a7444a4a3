from django.urls import path

from policy import approval_views, request_views, views

app_name = "policy"

urlpatterns = [
    path("rules/", views.rules, name="rules"),
    path("rules/add/", views.add, name="add"),
    path("rules/<uuid:rule_id>/", views.change, name="change"),
    path("rules/<uuid:rule_id>/delete/", views.delete, name="delete"),
    path("approvals/", approval_views.approvals, name="approvals"),
    path("approvals/<uuid:approval_id>/", approval_views.approval, name="approval"),
    path("approvals/<uuid:approval_id>/withdraw/", approval_views.withdraw, name="withdraw"),
    path("approvals/requests/", request_views.requests, name="requests"),
    path("approvals/requests/ask/<uuid:event_id>/", request_views.ask, name="ask"),
    path("approvals/requests/<uuid:rule_request_id>/", request_views.rule_request, name="request"),
    path("approvals/requests/<uuid:rule_request_id>/withdraw/", request_views.withdraw, name="withdraw_request"),
]
