"""Buttons on an object's page that change something: asked once, sent by POST, checked like any other change."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

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
                return _ask(self, request, row, title=description, consequence=text, button=button or description)
            return _run(self, request, row, run, done or f"{description}: done.")

        offered: Any = action(
            view, description=description, url_path=run.__name__.replace("_", "-"), icon=icon, variant=variant
        )
        offered.object_permission = permission
        offered.is_offered = is_offered
        return offered

    return decorate


def show_secret_once(
    admin: Any, request: HttpRequest, row: Any, *, title: str, facts: list[tuple[str, str]]
) -> HttpResponse:
    """Answer with a page that shows what can't be shown again: it is in this answer and nowhere else."""
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "original": row,
        "title": title,
        "facts": facts,
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


def _ask(admin: Any, request: HttpRequest, row: Any, **texts: str) -> HttpResponse:
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "original": row,
        "back_url": get_change_url(admin, row),
        **texts,
    }
    return TemplateResponse(request, "admin/kontext/confirm.html", context)


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
