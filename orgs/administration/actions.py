"""Buttons on an object's page that change something: asked once, sent by POST, checked like any other change.

A confirmation is a page, never a dialog: it can be read at leisure, linked to, and works without JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

from orgs.administration.forms import add_refusal

Run = Callable[[Any, HttpRequest, Any], HttpResponse | None]


def object_action(
    *,
    description: str,
    consequence: str | Callable[[Any], str],
    button: str = "",
    done: str = "",
    icon: str | None = None,
    variant: ActionVariant = ActionVariant.DEFAULT,
    permission: str = "change",
    is_offered: Callable[[Any], bool] = lambda row: True,
) -> Callable[[Run], Any]:
    """Make a method `(self, request, obj)` an action for `actions_detail` or `actions_row`.

    GET asks, saying `consequence` (a sentence on what will stop or happen, or a function of the object that gives
    one); POST runs the method. What it returns is the answer, and None leads back to the object with `done`. An
    object of another organization is not found; `permission` names a `has_…_permission` of the admin. The method
    calls a service that owns its transaction: no transaction is open, so it may reach the network. Refusals
    (`OrganizationModelAdmin.refusals`) become a message.
    """

    def decorate(run: Run) -> Any:
        @wraps(run)
        def view(self: Any, request: HttpRequest, object_id: str) -> HttpResponse:
            row = get_permitted(self, request, object_id, permission)
            if not is_offered(row):
                raise Http404("this action isn't offered now")
            if request.method != "POST":
                text = consequence(row) if callable(consequence) else consequence
                # Only what ends something is red: else the warning means nothing.
                looks = {"button_variant": "danger" if variant == ActionVariant.DANGER else "primary"}
                return _ask(
                    self, request, row, title=description, consequence=text, button=button or description, **looks
                )
            return _run(self, request, row, run, done or f"{description}: done.")

        return _offer(run, view, description, icon, variant, permission, is_offered)

    return decorate


def form_action(
    *,
    form: Callable[[Any, Any], forms.Form],
    description: str,
    consequence: str | Callable[[Any], str],
    button: str = "",
    done: str = "",
    icon: str | None = None,
    variant: ActionVariant = ActionVariant.DEFAULT,
    permission: str = "change",
    is_offered: Callable[[Any], bool] = lambda row: True,
    shown: Callable[[Any], str] = lambda row: "",
) -> Callable[[Callable[[Any, HttpRequest, Any, Any], HttpResponse | None]], Any]:
    """Make a method `(self, request, obj, form)` an action that asks for more than a yes.

    `form` makes the form from the object and what was posted (or None). The method runs with a valid form; a refusal
    becomes the form's errors, beside the fields it names. What was entered as a secret is not shown again. `shown`
    gives what has to be read before deciding.
    """

    def decorate(run: Callable[[Any, HttpRequest, Any, Any], HttpResponse | None]) -> Any:
        @wraps(run)
        def view(self: Any, request: HttpRequest, object_id: str) -> HttpResponse:
            row = get_permitted(self, request, object_id, permission)
            if not is_offered(row):
                raise Http404("this action isn't offered now")
            filled = form(row, request.POST if request.method == "POST" else None)
            if filled.is_bound and filled.is_valid():
                answer = _try(self, request, row, run, filled)
                if answer is not None:
                    return answer
            if filled.is_bound and not filled.errors:
                messages.success(request, done or f"{description}: done.")
                return HttpResponseRedirect(get_change_url(self, row))
            text = consequence(row) if callable(consequence) else consequence
            texts = {"title": description, "consequence": text, "button": button or description, "shown": shown(row)}
            return _ask(self, request, row, form=filled, **texts)

        return _offer(run, view, description, icon, variant, permission, is_offered)

    return decorate


def show_secret_once(
    admin: Any, request: HttpRequest, row: Any, *, title: str, facts: list[tuple[str, str]], note: str = ""
) -> HttpResponse:
    """Answer with a page that shows what can't be shown again: it is in this answer and nowhere else.

    `note` says how it is kept, where that isn't as a hash.
    """
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "original": row,
        "title": title,
        "facts": facts,
        "note": note,
        "back_url": get_change_url(admin, row),
    }
    response = TemplateResponse(request, "admin/kontext/secret.html", context)
    response["Cache-Control"] = "no-store, private"
    return response


def get_permitted(admin: Any, request: HttpRequest, object_id: str, permission: str = "change") -> Any:
    """Return the object if it is in the person's organizations and their role allows; else 404 or 403."""
    row = admin.get_object(request, unquote(object_id))
    if row is None:
        raise Http404("not found")
    if not getattr(admin, f"has_{permission}_permission")(request, row):
        raise PermissionDenied
    return row


def get_change_url(admin: Any, row: Any) -> str:
    return reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_change", args=(row.pk,))


def _offer(
    run: Any,
    view: Any,
    description: str,
    icon: str | None,
    variant: ActionVariant,
    permission: str,
    is_offered: Callable[[Any], bool],
) -> Any:
    path = run.__name__.replace("_", "-")
    offered: Any = action(view, description=description, url_path=path, icon=icon, variant=variant)
    offered.object_permission = permission
    offered.is_offered = is_offered
    return offered


def _ask(admin: Any, request: HttpRequest, row: Any, **texts: Any) -> HttpResponse:
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "original": row,
        "back_url": get_change_url(admin, row),
        **texts,
    }
    return TemplateResponse(request, "admin/kontext/confirm.html", context)


def _try(admin: Any, request: HttpRequest, row: Any, run: Any, form: forms.Form) -> HttpResponse | None:
    try:
        answer: HttpResponse | None = run(admin, request, row, form)
    except admin.refusals as refusal:
        add_refusal(form, admin.as_validation_error(refusal))
        return None
    return answer


def _run(admin: Any, request: HttpRequest, row: Any, run: Run, done: str) -> HttpResponse:
    try:
        answer = run(admin, request, row)
    except admin.refusals as refusal:
        messages.error(request, admin.describe_refusal(refusal))
    else:
        if answer is not None:
            return answer
        messages.success(request, done)
    return HttpResponseRedirect(get_change_url(admin, row))
