"""The organization of the benchmark, made through the same services as any other: nothing in it is short-circuited."""

from __future__ import annotations

from connections.models import Integration
from connections.services.add_integration import add_integration
from connections.services.allow_application import set_application_integrations
from connections.services.connect_with_key import connect_with_key
from connections.services.discover_integration import discover_integration
from orgs.models import Application, IssuedToken, Membership, Organization, User
from orgs.oauth.tokens import get_checksum, make_access_token, sign_access_token
from orgs.services.create_organization import create_organization
from orgs.services.grant_delegation import grant_delegation
from orgs.services.register_application import register_application
from policy.services.create_rule import create_rule

SLUG = "echo"


def make_world(*, echo_url: str, key: str) -> str:
    """Return a token for Alice's application at the echo integration, which she has connected with her key.

    Each layer speaks: a class of capabilities at the org layer, one capability at the user layer, one condition on an
    argument at the application layer, and a deny that has to be looked at and doesn't hold.
    """
    organization = create_organization(name="Acme Corp", slug="acme")
    alice = User.objects.create_user(name="Alice Adams", email="alice@acme.test")
    Membership.objects.create(organization=organization, user=alice)
    application = register_application(
        organization=organization, name="PR-Bot", redirect_uris=["https://pr-bot.acme.test/callback"]
    ).application
    integration = add_integration(
        organization=organization, slug=SLUG, name="Echo", url=echo_url, auth_mode=Integration.AuthMode.USER_TOKEN
    )
    integration = discover_integration(integration=integration)
    set_application_integrations(application=application, integrations=[integration])
    connect_with_key(user=alice, integration=integration, key=key)
    discover_integration(integration=integration)
    _make_rules(organization, alice, application, integration)
    return _issue_token(organization, alice, application, integration)


def _make_rules(organization: Organization, alice: User, application: Application, integration: Integration) -> None:
    text = {"argument": "text", "operator": "equals", "value": "forbidden"}
    create_rule(
        organization=organization, layer="org", effect="allow", integration=integration, klass="read", author=None
    )
    create_rule(
        organization=organization,
        layer="org",
        effect="deny",
        integration=integration,
        capability="echo",
        conditions=text,
        author=None,
    )
    create_rule(
        organization=organization,
        layer="user",
        effect="allow",
        user=alice,
        integration=integration,
        capability="echo",
        author=alice,
    )
    create_rule(
        organization=organization,
        layer="application",
        effect="allow",
        application=application,
        integration=integration,
        capability="echo",
        conditions={"argument": "text", "operator": "starts_with", "value": "caller "},
        author=None,
    )


def _issue_token(organization: Organization, alice: User, application: Application, integration: Integration) -> str:
    grant_delegation(
        user=alice,
        application=application,
        scopes=["mcp:invoke"],
        resources=[integration.resource],
        redirect_host="pr-bot.acme.test",
    )
    token = make_access_token(
        application=application,
        organization=organization,
        user=alice,
        resource=integration.resource,
        scopes=("mcp:invoke",),
    )
    signed = sign_access_token(token)
    IssuedToken.objects.create(
        jti=token.jti,
        organization=organization,
        application=application,
        user=alice,
        scope="mcp:invoke",
        resource=integration.resource,
        token_checksum=get_checksum(signed),
        issued_at=token.issued_at,
        expires_at=token.expires_at,
    )
    return signed
