from connections.models.connections import ConnectInvitation, Connection, ConnectSession, Credential, Revocation
from connections.models.integrations import ApplicationIntegration, Capability, Integration, OAuthClient
from connections.models.partners import ExternalAuth

__all__ = [
    "ApplicationIntegration",
    "Capability",
    "ConnectInvitation",
    "ConnectSession",
    "Connection",
    "Credential",
    "ExternalAuth",
    "Integration",
    "OAuthClient",
    "Revocation",
]
