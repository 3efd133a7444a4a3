"""Coming, going, and where one works: first setup, sign-in, sign-out, the current organization, the appearance."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import login, logout
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from audit.services.record import record_event
from audit.types import EventType
from orgs.forms import EmailSignInForm, FirstAdministratorForm, PasswordSignInForm
from orgs.http import make_actor
from orgs.models import Membership, Organization, User
from orgs.services.create_first_administrator import create_first_administrator, is_setup_token_valid
from orgs.sessions import get_current_membership, set_current_organization
from orgs.templatetags.kontext_ui import THEME_COOKIE, THEMES

_YEAR = 365 * 24 * 3600


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for an e-mail address, and send its owner to their organization's own identity provider."""
    if request.method != "POST":
        if request.user.is_authenticated:
            return HttpResponseRedirect(_get_next(request))
        return _show_sign_in(request)
    if request.POST.get("with") == "password":
        return _sign_in_with_password(request)
    form = EmailSignInForm(request.POST)
    if not form.is_valid() or form.provider is None:
        return _show_sign_in(request, email_form=form)
    query = urlencode({"next": _get_next(request), "email": form.cleaned_data["email"]})
    return HttpResponseRedirect(f"{reverse('sso:begin', args=[form.provider.pk])}?{query}")


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this browser's session. Applications go on: they act under a consent of their own."""
    if isinstance(request.user, User):
        membership = get_current_membership(request)
        record_event(
            type=EventType.SIGNED_OUT,
            organization_id=membership.organization_id if membership is not None else None,
            actor=make_actor(user=request.user),
        )
    logout(request)
    messages.success(request, "You are signed out. Applications that you allowed go on acting for you.")
    return HttpResponseRedirect(reverse("orgs:sign_in"))


@require_POST
def switch_organization(request: HttpRequest) -> HttpResponse:
    """Work in another organization that this person is an active member of; 404 for every other."""
    if not isinstance(request.user, User):
        return HttpResponseRedirect(reverse("orgs:sign_in"))
    mine = Membership.objects.active().filter(user=request.user).select_related("organization")
    wanted = request.POST.get("organization", "")
    chosen = next((membership for membership in mine if str(membership.organization_id) == wanted), None)
    if chosen is None:
        raise Http404("this person is in no such organization")
    set_current_organization(request, chosen.organization)
    messages.success(request, f"You now work in {chosen.organization}.")
    return HttpResponseRedirect(_get_next(request))


@require_POST
def appearance(request: HttpRequest) -> HttpResponse:
    """Keep the theme in this browser: light, dark, or the system's own."""
    response = HttpResponseRedirect(_get_next(request))
    theme = request.POST.get("theme", "")
    if theme in THEMES:
        response.set_cookie(
            THEME_COOKIE, theme, max_age=_YEAR, httponly=True, samesite="Lax", secure=request.is_secure()
        )
    else:
        response.delete_cookie(THEME_COOKIE, samesite="Lax")
    return response


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def set_up(request: HttpRequest, token: str) -> HttpResponse:
    """Create the first administrator and sign them in. The link is not found once it was used."""
    if not is_setup_token_valid(token):
        raise Http404("this link is no longer good")
    form = FirstAdministratorForm(request.POST or None)
    if form.is_valid():
        try:
            user = create_first_administrator(token=token, **form.cleaned_data)
        except ValidationError as error:
            _show_problems(form, error)
        else:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            set_current_organization(request, Organization.objects.get(memberships__user=user))
            return redirect("admin:index")
    return render(request, "orgs/setup.html", {"form": form}, status=422 if form.errors else 200)


def _show_sign_in(
    request: HttpRequest,
    *,
    email_form: EmailSignInForm | None = None,
    password_form: PasswordSignInForm | None = None,
) -> HttpResponse:
    context = {
        "email_form": email_form or EmailSignInForm(initial={"email": request.GET.get("email", "")[:254]}),
        "password_form": password_form or PasswordSignInForm(request),
        "next": _get_next(request),
    }
    is_refused = email_form is not None or password_form is not None
    return render(request, "orgs/sign_in.html", context, status=400 if is_refused else 200)


def _sign_in_with_password(request: HttpRequest) -> HttpResponse:
    form = PasswordSignInForm(request, request.POST)
    if not form.is_valid():
        return _show_sign_in(request, password_form=form)
    login(request, form.get_user())
    return HttpResponseRedirect(_get_next(request))


def _get_next(request: HttpRequest) -> str:
    """Return where to go afterwards, if it is an address of our own."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    is_safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith("/")
    return wanted if is_safe else "/"


def _show_problems(form: FirstAdministratorForm, error: ValidationError) -> None:
    names = {"slug": "organization_slug", "username": "email"}
    for name, texts in error.message_dict.items():
        shown = names.get(name, name)
        for text in texts:
            form.add_error(shown if shown in form.fields else None, text)
