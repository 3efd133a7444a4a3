"""The page behind the one-time link that `manage.py up` prints."""

from __future__ import annotations

from django.contrib.auth import login
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from orgs.forms import FirstAdministratorForm
from orgs.models import Organization
from orgs.services.create_first_administrator import create_first_administrator, is_setup_token_valid
from orgs.sessions import set_current_organization


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
    response = render(request, "orgs/setup.html", {"form": form}, status=422 if form.errors else 200)
    response["Referrer-Policy"] = "no-referrer"
    return response


def _show_problems(form: FirstAdministratorForm, error: ValidationError) -> None:
    names = {"slug": "organization_slug", "username": "email"}
    for name, texts in error.message_dict.items():
        shown = names.get(name, name)
        for text in texts:
            form.add_error(shown if shown in form.fields else None, text)
