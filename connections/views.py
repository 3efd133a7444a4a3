"""The portal pages with which a person connects an integration, sees what is connected, and ends it."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from connections.errors import (
    AnotherAccountError,
    AuthorizationRefusedError,
    ConnectionsError,
    ConnectLinkEndedError,
    ConnectLinkError,
    KeyRefusedError,
)
from connections.forms import KeyForm
from connections.models import ConnectInvitation, Connection, ConnectSession, Integration, OAuthClient
from connections.oauth.clients import describe_client
from connections.overview import find_applications, get_cards, get_invited_cards
from connections.services.begin_connect import CONNECTABLE, begin_connect
from connections.services.change_server import get_redirect_uri
from connections.services.complete_connect import answer_account_question, complete_connect
from connections.services.connect_session import get_session, get_session_by_state, get_session_to_decide
from connections.services.connect_with_key import connect_with_key
from connections.services.discover_integration import get_metadata_document_url
from connections.services.invite_to_connect import finish_invitation, get_invitation, open_invitation
from connections.services.revoke import revoke_connection
from connections.services.start_authorization import start_authorization
from orgs.access import get_membership, portal_login_required
from orgs.errors import say
from orgs.http import get_request_id, make_actor
from orgs.models import User
from orgs.oauth.consent import Beginning, begin_with, get_beginnings
from orgs.oauth.resources import Resource

_BROWSER_SECONDS = 20 * 60
_MENDERS = {
    "person": "You can mend this yourself.",
    "administrator": "An administrator of your organization has to mend this; you need not.",
    "service": "The service itself has to answer again: nobody here can mend that. Try again later.",
}


@require_safe
@portal_login_required
def list_connections(request: HttpRequest) -> HttpResponse:
    membership = get_membership(request)
    cards = get_cards(membership)
    return render(request, "connections/list.html", {"cards": cards, "organization": membership.organization})


@require_POST
@portal_login_required
def begin(request: HttpRequest, integration_id: UUID) -> HttpResponse:
    """Begin to connect an integration, and go to the page that says what that means."""
    membership = get_membership(request)
    integrations = Integration.objects.for_organization(membership.organization_id).active()
    integration = get_object_or_404(integrations, pk=integration_id, auth_mode__in=CONNECTABLE)
    try:
        link = begin_connect(user=membership.user, integration=integration)
    except ConnectLinkError as error:
        raise Http404(str(error)) from None
    return HttpResponseRedirect(urlsplit(link.url).path)


@require_http_methods(["GET", "HEAD", "POST"])
@portal_login_required
def disconnect(request: HttpRequest, connection_id: UUID) -> HttpResponse:
    """Say what stops, and end the connection."""
    membership = get_membership(request)
    mine = Connection.objects.for_organization(membership.organization_id).of_user(membership.user)
    connection = get_object_or_404(mine.select_related("integration"), pk=connection_id)
    if connection.status == Connection.Status.REVOKED:
        return HttpResponseRedirect(reverse("connections:list"))
    if request.method == "POST":
        actor = make_actor(user=membership.user)
        revoke_connection(connection=connection, reason="disconnected by the person", actor=actor)
        messages.success(request, f"{connection.integration} is disconnected. Its credential is deleted here.")
        return HttpResponseRedirect(reverse("connections:list"))
    applications = find_applications(membership).get(connection.integration_id, ())
    context = {"connection": connection, "integration": connection.integration, "applications": applications}
    return render(request, "connections/disconnect.html", context)


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def connect(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind a connect link: what will be stored and what for, then the integration's own consent or a key.

    For anybody but the person it was made for there is no such page.
    """
    if not isinstance(request.user, User):
        return redirect_to_login(request.get_full_path())
    try:
        session = get_session(token=token, user=request.user)
    except ConnectLinkEndedError as error:
        return _show_problem(request, error, status=410)
    except ConnectLinkError as error:
        raise Http404(str(error)) from None
    if session.integration.auth_mode == Integration.AuthMode.USER_TOKEN:
        return _connect_with_key(request, session)
    return _start_sign_in(request, session) if request.method == "POST" else _show_connect(request, session)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def hosted_connect(request: HttpRequest) -> HttpResponse:
    """The page behind the link that an application asked for: what it needs, and a button for each.

    `session` is the link's token, good once; `invitation` is where the browser goes on that has opened it.
    """
    if not isinstance(request.user, User):
        return redirect_to_login(request.get_full_path())
    if request.method != "POST" and request.GET.get("session"):
        return _open_invitation(request, request.user, request.GET["session"])
    try:
        invitation = get_invitation(
            invitation_id=UUID(request.GET.get("invitation", "")),
            user=request.user,
            browser=request.COOKIES.get(_get_cookie_name(), ""),
        )
        if request.method == "POST":
            return _go_on(request, invitation)
    except ConnectLinkEndedError as error:
        return _show_problem(request, error, status=410)
    except (ConnectLinkError, ValueError) as error:
        raise Http404(str(error)) from None
    context = {"invitation": invitation, "cards": get_invited_cards(invitation)}
    return render(request, "connections/invitation.html", context)


@never_cache
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Where integrations send browsers back to (OAuth's redirect URI)."""
    if not isinstance(request.user, User):
        return _show_problem(request, ConnectLinkError("you are not signed in in this browser (any more)"), status=403)
    parameters = request.GET.dict()
    browser = request.COOKIES.get(_get_cookie_name(), "")
    try:
        session = get_session_by_state(state=parameters.get("state", ""), user=request.user, browser=browser)
        connection = complete_connect(session=session, parameters=parameters)
    except AnotherAccountError:
        return HttpResponseRedirect(reverse("connections:choose_account", args=[session.pk]))
    except AuthorizationRefusedError:
        messages.warning(request, f"{session.integration} is not connected: you or {session.integration} declined.")
        return HttpResponseRedirect(reverse("connections:list"))
    except ConnectionsError as error:
        return _show_problem(request, error, status=400)
    return _finish(request, session, connection)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def choose_account(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Ask which of two accounts stays connected: a second one never replaces the first by itself."""
    if not isinstance(request.user, User):
        return redirect_to_login(request.get_full_path())
    try:
        session = get_session_to_decide(session_id=session_id, user=request.user)
        if request.method == "POST":
            replaces = "yes" if request.POST.get("account") == "new" else "no"
            connection = answer_account_question(session=session, replaces=replaces)
            return _finish(request, session, connection)
    except ConnectLinkEndedError as error:
        return _show_problem(request, error, status=410)
    except ConnectLinkError as error:
        raise Http404(str(error)) from None
    connection = get_object_or_404(Connection, user=request.user, integration=session.integration)
    context = {"session": session, "integration": session.integration, "connection": connection}
    return render(request, "connections/choose_account.html", context)


@require_safe
def client_metadata(request: HttpRequest) -> HttpResponse:
    """Kontext as a client, for authorization servers that take metadata documents in place of a registration."""
    document = describe_client(redirect_uri=get_redirect_uri(), client_uri=settings.PUBLIC_URL)
    document |= {"client_id": get_metadata_document_url(), "token_endpoint_auth_method": "none"}
    response = JsonResponse(document)
    response["Cache-Control"] = "public, max-age=3600"
    return response


def _open_invitation(request: HttpRequest, user: User, token: str) -> HttpResponse:
    """Spend the link, and go on without its token in the address. A link to one integration is served as ever."""
    browser = _get_browser(request)
    try:
        invitation = open_invitation(token=token, user=user, browser=browser)
    except ConnectLinkEndedError as error:
        return _show_problem(request, error, status=410)
    except ConnectLinkError:
        return HttpResponseRedirect(reverse("connections:connect", args=[token[:200]]))
    response = HttpResponseRedirect(f"{reverse('connections:hosted_connect')}?invitation={invitation.pk}")
    return _remember_browser(response, browser)


def _go_on(request: HttpRequest, invitation: ConnectInvitation) -> HttpResponse:
    """Begin to connect one of the integrations, or be done."""
    if not (chosen := request.POST.get("integration")):
        finish_invitation(invitation)
        return HttpResponseRedirect(invitation.return_url or reverse("connections:list"))
    cards = {str(card.integration.pk): card for card in get_invited_cards(invitation) if card.is_personal}
    if chosen not in cards:
        raise Http404("the application doesn't need this integration")
    link = begin_connect(
        user=invitation.user,
        integration=cards[chosen].integration,
        application=invitation.application,
        return_url=f"{reverse('connections:hosted_connect')}?invitation={invitation.pk}",
    )
    return HttpResponseRedirect(urlsplit(link.url).path)


def _get_browser(request: HttpRequest) -> str:
    """Return the secret that only this browser has, a new one where it has none."""
    browser = request.COOKIES.get(_get_cookie_name(), "")
    return browser if len(browser) == 43 else secrets.token_urlsafe(32)


def _remember_browser(response: HttpResponseRedirect, browser: str) -> HttpResponse:
    response.set_cookie(
        _get_cookie_name(), browser, max_age=_BROWSER_SECONDS, httponly=True, samesite="Lax", secure=settings.IS_HTTPS
    )
    return response


def _connect_with_key(request: HttpRequest, session: ConnectSession) -> HttpResponse:
    form = KeyForm(request.POST or None, integration=session.integration)
    if request.method == "POST" and form.is_valid():
        try:
            connection = connect_with_key(session=session, key=form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
        except KeyRefusedError as error:
            last = list(form.fields)[-1]
            form.add_error(last, f"{error}. Check that you copied all of it, and that it has not expired.")
        except ConnectLinkError as error:
            return _show_problem(request, error, status=410)
        else:
            _begin(request, session)
            return _finish(request, session, connection)
    return _show_connect(request, session, form=form)


def _start_sign_in(request: HttpRequest, session: ConnectSession) -> HttpResponse:
    """Leave for the integration. A cookie of this browser is what its answer must come back to."""
    browser = _get_browser(request)
    try:
        url = start_authorization(session=session, browser=browser)
    except ConnectionsError as error:
        return _show_problem(request, error, status=409)
    _begin(request, session)
    return _remember_browser(HttpResponseRedirect(url), browser)


def _begin(request: HttpRequest, session: ConnectSession) -> None:
    """Write the rules with which the person lets the application begin that brought them here."""
    if session.application is not None:
        begin_with(
            request.POST.get("begin", ""),
            user=session.user,
            organization=session.organization,
            application=session.application,
            resources=[_get_resource(session)],
        )


def _get_beginnings(session: ConnectSession) -> list[Beginning]:
    if session.application is None:
        return []
    return get_beginnings(
        user=session.user,
        organization=session.organization,
        application=session.application,
        resources=[_get_resource(session)],
    )


def _get_resource(session: ConnectSession) -> Resource:
    integration = session.integration
    return Resource(integration.resource, integration.name, frozenset(), (integration.pk,))


def _show_connect(request: HttpRequest, session: ConnectSession, *, form: KeyForm | None = None) -> HttpResponse:
    server = OAuthClient.objects.filter(integration=session.integration).first()
    context: dict[str, Any] = {
        "session": session,
        "integration": session.integration,
        "application": session.application,
        "beginnings": _get_beginnings(session),
        "form": form,
        "scopes": server.scopes if server is not None and form is None else [],
        "host": urlsplit(server.authorization_endpoint if server and form is None else session.integration.url).netloc,
    }
    return render(request, "connections/connect.html", context, status=422 if form and form.errors else 200)


def _finish(request: HttpRequest, session: ConnectSession, connection: Connection) -> HttpResponse:
    account = f" as {connection.account}" if connection.account else ""
    onward = f" You can go back to {session.application}." if session.application else ""
    messages.success(request, f"{session.integration} is connected{account}.{onward}")
    return HttpResponseRedirect(session.return_url or reverse("connections:list"))


def _show_problem(request: HttpRequest, error: ConnectionsError, *, status: int) -> HttpResponse:
    context = {
        "problem": say(error),
        "code": error.code,
        "mender": _MENDERS[error.mender],
        "request_id": get_request_id(),
    }
    return render(request, "connections/problem.html", context, status=status)


def _get_cookie_name() -> str:
    return "__Host-connect" if settings.IS_HTTPS else "kontext_connect"
