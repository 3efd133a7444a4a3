"""Puts the demo GitHub together: the MCP endpoint, its authorization server and its consent page in one application."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from mcp.server.auth.middleware.client_auth import AuthenticationError, ClientAuthenticator
from mcp.server.auth.routes import build_metadata, cors_middleware
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from kontext.demo.github.inspection import Recorder, SeenRequest, inspection_routes
from kontext.demo.github.pages import consent_routes
from kontext.demo.github.provider import SCOPE, DemoProvider
from kontext.demo.github.state import Store
from kontext.demo.github.tools import add_tools


@dataclass(frozen=True)
class Options:
    """`base_url` is both the issuer and the origin of the MCP endpoint; `token_lifetime` is in seconds."""

    base_url: str
    token_lifetime: int = 3600
    state_file: Path | None = None
    inspect: bool = False


def build_app(options: Options) -> ASGIApp:
    store = Store(options.state_file)
    provider = DemoProvider(store, issuer=options.base_url, token_lifetime=options.token_lifetime)
    server = MCPServer[None](
        "github",
        title="GitHub (demo)",
        auth_server_provider=provider,
        auth=_auth_settings(options.base_url),
        log_level="WARNING",
    )
    add_tools(server, store)
    app = server.streamable_http_app()
    app.router.routes[:0] = [*_corrected_routes(provider), *consent_routes(provider)]
    if not options.inspect:
        return app
    seen: deque[SeenRequest] = deque(maxlen=1000)
    app.router.routes[:0] = inspection_routes(provider, seen)
    return Recorder(app, seen)


def _auth_settings(base_url: str) -> AuthSettings:
    # Given as strings: an AnyHttpUrl would end the issuer in a slash, and issuers compare as strings (RFC 8414 §3.3).
    return AuthSettings.model_validate(
        {
            "issuer_url": base_url,
            "resource_server_url": f"{base_url}/mcp",
            "validate_token_resource": True,
            "required_scopes": [SCOPE],
            "client_registration_options": _registration(),
            "revocation_options": RevocationOptions(enabled=True),
        }
    )


def _registration() -> ClientRegistrationOptions:
    return ClientRegistrationOptions(enabled=True, valid_scopes=[SCOPE], default_scopes=[SCOPE])


def _corrected_routes(provider: DemoProvider) -> list[Route]:
    """Endpoints where the package (2.3) falls short of its RFCs, and one that it lacks: whose token is this?

    Its metadata can't say that `iss` comes back with the code (RFC 9207 §3) or that public clients are welcome, and its
    revocation endpoint answers 400 to a client that authenticates with HTTP Basic or not at all (RFC 7009 §2.1).
    """
    metadata = build_metadata(AnyHttpUrl(provider.issuer), None, _registration(), RevocationOptions(enabled=True))
    metadata.issuer = _auth_settings(provider.issuer).issuer_url
    metadata.authorization_response_iss_parameter_supported = True
    metadata.token_endpoint_auth_methods_supported = ["client_secret_basic", "client_secret_post", "none"]
    metadata.revocation_endpoint_auth_methods_supported = ["client_secret_basic", "client_secret_post", "none"]
    document = metadata.model_dump(mode="json", exclude_none=True)
    document["userinfo_endpoint"] = f"{provider.issuer}/userinfo"

    def describe(_: Request) -> Response:
        return JSONResponse(document)

    return [
        Route(
            "/.well-known/oauth-authorization-server", cors_middleware(describe, ["GET"]), methods=["GET", "OPTIONS"]
        ),
        Route("/userinfo", _userinfo_endpoint(provider), methods=["GET"]),
        Route("/revoke", _revocation_endpoint(provider), methods=["POST"]),
    ]


def _userinfo_endpoint(provider: DemoProvider) -> Callable[[Request], Awaitable[Response]]:
    async def tell(request: Request) -> Response:
        token = await provider.load_access_token(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if token is None or (token.expires_at or 0) < time.time():
            return JSONResponse({"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return JSONResponse({"sub": token.subject, "preferred_username": token.subject})

    return tell


def _revocation_endpoint(provider: DemoProvider) -> Callable[[Request], Awaitable[Response]]:
    authenticator = ClientAuthenticator(provider)

    async def revoke(request: Request) -> Response:
        try:
            client = await authenticator.authenticate_request(request)
        except AuthenticationError as error:
            return JSONResponse({"error": "invalid_client", "error_description": error.message}, 401)
        value = str((await request.form()).get("token", ""))
        token = await provider.load_access_token(value) or provider.store.state.refresh_tokens.get(value)
        if token is not None and token.client_id == client.client_id:
            await provider.revoke_token(token)
        return Response(status_code=200, headers={"Cache-Control": "no-store"})

    return revoke
