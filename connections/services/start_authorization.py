from __future__ import annotations

from django.utils import timezone

from connections.catalogue.adopt import get_dialect
from connections.errors import ConnectLinkError, DiscoveryError
from connections.models import ConnectSession, OAuthClient
from connections.oauth.authorization import build_authorization_url, new_attempt
from connections.sealing import digest_secret, seal_code_verifier


def start_authorization(*, session: ConnectSession, browser: str) -> str:
    """Return where to send the person's browser: the integration's own sign-in and consent.

    `browser` is a secret that only this browser has (a cookie): the answer counts in it alone. Starting again replaces
    an earlier start, whose answer then counts nowhere. Raises DiscoveryError where an administrator has work left.
    """
    server = OAuthClient.objects.select_related("integration").filter(integration=session.integration_id).first()
    if server is None or not server.client_id:
        raise DiscoveryError("Kontext is not registered at this integration: an administrator has to set that up")
    attempt = new_attempt()
    url = build_authorization_url(
        server.authorization_endpoint,
        client_id=server.client_id,
        redirect_uri=server.redirect_uri,
        attempt=attempt,
        scopes=server.scopes,
        resource=server.resource,
        dialect=get_dialect(server),
    )
    started = ConnectSession.objects.filter(pk=session.pk, used_at__isnull=True, expires_at__gt=timezone.now()).update(
        state_digest=digest_secret(attempt.state),
        browser_digest=digest_secret(browser),
        code_verifier=seal_code_verifier(session, attempt.code_verifier),
        issuer=server.issuer,
    )
    if not started:
        raise ConnectLinkError("this link was used or is too old: begin again")
    return url
