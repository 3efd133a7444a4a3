from django.urls import path

from orgs.api import schema
from orgs.api.views import applications, events, people, sessions, traces, trees

app_name = "management"

_APPLICATION = "applications/<uuid:application_id>"

urlpatterns = [
    path("schema", schema.schema, name="schema"),
    path("docs", schema.documentation, name="docs"),
    path("applications", applications.ApplicationsView.as_view(), name="applications"),
    path(_APPLICATION, applications.ApplicationDetailView.as_view(), name="application"),
    path(f"{_APPLICATION}/rotate-secret", applications.RotateSecretView.as_view(), name="rotate-secret"),
    path(f"{_APPLICATION}/oauth", applications.ApplicationOAuthView.as_view(), name="application-oauth"),
    path(f"{_APPLICATION}/sessions", sessions.SessionsView.as_view(), name="sessions"),
    path(f"{_APPLICATION}/sessions/<uuid:delegation_id>", sessions.SessionDetailView.as_view(), name="session"),
    path("me", people.MeView.as_view(), name="me"),
    path("members", people.MembersView.as_view(), name="members"),
    path("groups", people.GroupsView.as_view(), name="groups"),
    path("audit-events", events.EventsView.as_view(), name="audit-events"),
    path("audit-events/<uuid:event_id>", events.EventDetailView.as_view(), name="audit-event"),
    path("audit-events/<uuid:event_id>/inclusion-proof", trees.InclusionProofView.as_view(), name="inclusion-proof"),
    path("audit-events/<uuid:event_id>/payload", events.PayloadView.as_view(), name="audit-event-payload"),
    path("audit-tree", trees.AuditTreeView.as_view(), name="audit-tree"),
    path("audit-tree/consistency-proof", trees.ConsistencyProofView.as_view(), name="consistency-proof"),
    path("mcp-events", events.McpEventsView.as_view(), name="mcp-events"),
    path("traces", traces.TracesView.as_view(), name="traces"),
    path("traces/stats", traces.TraceStatsView.as_view(), name="trace-stats"),
    path("traces/<uuid:trace_id>", traces.TraceDetailView.as_view(), name="trace"),
]
