from connections.models.connections import Connection, ConnectSession, Credential, Revocation
from connections.models.integrations import ApplicationIntegration, Capability, Integration, OAuthClient

__all__ = [
    "ApplicationIntegration",
    "Capability",
    "ConnectSession",
    "Connection",
    "Credential",
    "Integration",
    "OAuthClient",
    "Revocation",
]
