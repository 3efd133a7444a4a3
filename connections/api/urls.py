from django.urls import path

from connections.api.views import application_integrations, capabilities, connections, external_auth, integrations

app_name = "management_connections"

_ALLOWED = "applications/<uuid:application_id>/integrations"
_INTEGRATION = "integrations/<uuid:integration_id>"

urlpatterns = [
    path("applications/access-graph", application_integrations.AccessGraphView.as_view(), name="access-graph"),
    path(_ALLOWED, application_integrations.ApplicationIntegrationsView.as_view(), name="allowed-integrations"),
    path(
        f"{_ALLOWED}/<uuid:integration_id>",
        application_integrations.ApplicationIntegrationDetailView.as_view(),
        name="allowed-integration",
    ),
    path(
        "applications/<uuid:application_id>/external-auth",
        external_auth.ExternalAuthView.as_view(),
        name="external-auth",
    ),
    path("integrations", integrations.IntegrationsView.as_view(), name="integrations"),
    path(_INTEGRATION, integrations.IntegrationDetailView.as_view(), name="integration"),
    path(f"{_INTEGRATION}/validate", integrations.ValidateView.as_view(), name="validate"),
    path(f"{_INTEGRATION}/oauth", integrations.IntegrationOAuthView.as_view(), name="integration-oauth"),
    path(f"{_INTEGRATION}/connection", connections.IntegrationConnectionView.as_view(), name="integration-connection"),
    path("capabilities", capabilities.CapabilitiesView.as_view(), name="capabilities"),
    path("capabilities/<uuid:capability_id>", capabilities.CapabilityDetailView.as_view(), name="capability"),
    path("connections", connections.ConnectionsView.as_view(), name="connections"),
    path("connections/<uuid:connection_id>", connections.ConnectionDetailView.as_view(), name="connection"),
]
