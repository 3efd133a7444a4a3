"""Where an organization is told of alerts and the like, and what became of each notice."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from orgs.admin_site import (
    OrganizationForm,
    OrganizationModelAdmin,
    OrganizationTabularInline,
    get_change_url,
    link_to,
    object_action,
    show_secret_once,
)
from orgs.administration.activity import EVENT_READERS
from orgs.http import make_actor
from orgs.models import Delivery, NoticePlace
from orgs.notices.kinds import get_kinds
from orgs.notices.mail import is_mail_set_up
from orgs.services.send_notices import retry_delivery
from orgs.services.set_notice_place import (
    SetPlace,
    delete_notice_place,
    rotate_notice_secret,
    set_notice_place,
    try_notice_place,
)
from orgs.templatetags.kontext_ui import relative_time, status_chip

_COPY_NOW = (
    "Copy this now: the receiver verifies by it that a message is from here. It is kept encrypted and not shown again; "
    "if it is lost, rotate it."
)
_NO_MAIL = "This installation has no mail server yet: its operator sets EMAIL_URL. Until then e-mail does not arrive."


def _list_kinds() -> list[tuple[str, str]]:
    return [(kind.name, kind.title) for kind in get_kinds()]


class NoticePlaceForm(OrganizationForm):
    kinds = forms.MultipleChoiceField(
        label="Told of",
        required=False,
        choices=_list_kinds,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Choose none to be told of everything, also of what later releases bring.",
    )

    class Meta:
        model = NoticePlace
        fields = ("organization", "name", "means", "address", "kinds", "is_enabled")
        labels: ClassVar[dict[str, str]] = {"means": "By", "is_enabled": "In use"}
        help_texts: ClassVar[dict[str, str]] = {
            "name": "As you call it: Security team, Pager.",
            "address": "An e-mail address, or the https address of a webhook. What is posted there is signed as the "
            "Standard Webhooks specification says; the secret is shown once, after this is saved.",
        }


class DeliveryInline(OrganizationTabularInline):
    model = Delivery
    is_read_only: ClassVar[bool] = True
    reader_roles = EVENT_READERS
    fields = ("notice_shown", "state_shown", "tries", "error", "created_at")
    readonly_fields = fields
    verbose_name_plural = "deliveries"
    per_page = 10

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("notice")

    @display(description="notice")
    def notice_shown(self, obj: Delivery) -> SafeString:
        return link_to(obj, obj.notice.subject)

    @display(description="state")
    def state_shown(self, obj: Delivery) -> SafeString:
        return show_state(obj.state)


@admin.register(NoticePlace)
class NoticePlaceAdmin(OrganizationModelAdmin):
    form = NoticePlaceForm
    reader_roles = EVENT_READERS
    inlines = (DeliveryInline,)
    list_display = ("name", "means", "address_shown", "kinds_shown", "enabled_shown", "last_shown")
    list_filter = ("means", "is_enabled")
    search_fields = ("name", "address")
    search_help_text = "Search names and addresses"
    fields = ("organization", "name", "means", "address", "kinds", "is_enabled")
    actions_detail = ("send_test", "rotate_secret")
    list_before_template = "admin/kontext/places_intro.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        newest = Delivery.objects.filter(place=OuterRef("pk")).order_by("-pk").values("state")
        places: QuerySet[Any] = super().get_queryset(request).annotate(last_state=Subquery(newest[:1]))
        return places

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if obj is None else (*fields, "means")

    # Recorded by the services, which leave out what may be a secret in an address.

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        given = {name: form.cleaned_data[name] for name in ("name", "address", "kinds", "is_enabled")}
        place = self.get_stored(obj) if change else None
        saved = set_notice_place(
            organization=obj.organization, place=place, means=obj.means, actor=make_actor(user=request.user), **given
        )
        obj.__dict__.update(saved.place.__dict__)
        request._kontext_set = saved  # type: ignore[attr-defined]
        if obj.means == NoticePlace.Means.EMAIL and not is_mail_set_up():
            messages.warning(request, _NO_MAIL)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_notice_place(place=obj, actor=make_actor(user=request.user))

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show a webhook's secret in this very answer: there is no later one."""
        saved: SetPlace = request._kontext_set  # type: ignore[attr-defined]
        if not saved.secret:
            return super().response_add(request, obj, post_url_continue)
        return self._show_secret(request, saved.place, saved.secret)

    @object_action(
        description="Send a test",
        consequence="One message goes there now, signed like any other. What becomes of it is said here.",
        button="Send it",
        is_offered=lambda place: bool(place.is_enabled),
    )
    def send_test(self, request: HttpRequest, obj: NoticePlace) -> HttpResponse | None:
        delivery = try_notice_place(place=obj)
        _say_outcome(request, delivery)
        return HttpResponseRedirect(get_change_url(self, obj))

    @object_action(
        description="Rotate secret",
        consequence="Messages are signed with a new secret from now on and, for a day, with the former one, too: "
        "give the receiver the new one within that day.",
        button="Make a new secret",
        is_offered=lambda place: place.means == NoticePlace.Means.WEBHOOK,
    )
    def rotate_secret(self, request: HttpRequest, obj: NoticePlace) -> HttpResponse:
        secret = rotate_notice_secret(place=obj, actor=make_actor(user=request.user))
        return self._show_secret(request, obj, secret)

    def _show_secret(self, request: HttpRequest, place: NoticePlace, secret: str) -> HttpResponse:
        facts = [("Signing secret", secret)]
        return show_secret_once(self, request, place, title="Signing secret", facts=facts, note=_COPY_NOW)

    @display(description="address", ordering="address")
    def address_shown(self, obj: NoticePlace) -> str:
        return obj.address if len(obj.address) <= 60 else f"{obj.address[:59]}…"

    @display(description="told of")
    def kinds_shown(self, obj: NoticePlace) -> str:
        return f"{len(obj.kinds)} kinds" if obj.kinds else "everything"

    @display(description="in use", ordering="is_enabled")
    def enabled_shown(self, obj: NoticePlace) -> SafeString:
        return status_chip("active") if obj.is_enabled else status_chip("disabled")

    @display(description="last notice")
    def last_shown(self, obj: Any) -> SafeString | str:
        return show_state(obj.last_state) if obj.last_state else "none yet"


@admin.register(Delivery)
class DeliveryAdmin(OrganizationModelAdmin):
    """What was to be told, and whether it arrived. Kept for 90 days."""

    is_read_only: ClassVar[bool] = True
    has_events: ClassVar[bool] = False
    reader_roles = EVENT_READERS
    list_display = ("subject", "address", "state_shown", "tries", "error", "created_shown")
    list_display_links = ("subject",)
    list_filter = ("state", "place")
    list_select_related = ("notice", "place")
    search_fields = ("notice__subject", "address", "error")
    search_help_text = "Search notices, addresses and errors"
    fields = (
        "organization",
        "subject",
        "text",
        "kind",
        "address",
        "state_shown",
        "tries",
        "error",
        "next_shown",
        "delivered_at",
        "created_at",
        "notice_id",
    )
    readonly_fields = ("subject", "text", "kind", "state_shown", "next_shown", "notice_id")
    actions_detail = ("try_again",)

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, obj, self.writer_roles)

    @object_action(
        description="Try again",
        consequence="It is sent once more now, with the same message ID: a receiver that has it already can tell.",
        permission="retry",
        is_offered=lambda delivery: delivery.state != Delivery.State.DELIVERED,
    )
    def try_again(self, request: HttpRequest, obj: Delivery) -> HttpResponse | None:
        _say_outcome(request, retry_delivery(delivery=obj))
        return HttpResponseRedirect(get_change_url(self, obj))

    @display(description="notice", ordering="notice__subject")
    def subject(self, obj: Delivery) -> str:
        return obj.notice.subject

    @display(description="text")
    def text(self, obj: Delivery) -> str:
        return obj.notice.text

    @display(description="kind")
    def kind(self, obj: Delivery) -> str:
        return obj.notice.kind

    @display(description="message ID")
    def notice_id(self, obj: Delivery) -> str:
        return str(obj.notice.pk)

    @display(description="state", ordering="state")
    def state_shown(self, obj: Delivery) -> SafeString:
        return show_state(obj.state)

    @display(description="next try", empty_value="none")
    def next_shown(self, obj: Delivery) -> SafeString | str | None:
        return relative_time(obj.due_at) if obj.due_at else None

    @display(description="made", ordering="created_at")
    def created_shown(self, obj: Delivery) -> SafeString | str:
        return relative_time(obj.created_at)


def show_state(state: str) -> SafeString:
    return status_chip("on_its_way" if state == Delivery.State.PENDING else state)


def _say_outcome(request: HttpRequest, delivery: Delivery) -> None:
    if delivery.state == Delivery.State.DELIVERED:
        messages.success(request, f"It arrived at {delivery.address}.")
    elif delivery.state == Delivery.State.FAILED:
        messages.error(request, f"It did not arrive: {delivery.error}. It is not tried again by itself.")
    else:
        problem = delivery.error or "somebody else is trying"
        messages.warning(request, f"It has not arrived yet: {problem}. It is tried again by itself.")
