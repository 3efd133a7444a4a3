"""How calls go, as pictures with their numbers: by integration or by application, over a time."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget

from orgs.admin.explorer import answer, list_readable, may_explore, read_trail
from orgs.explorer.asked import Trail, Window
from orgs.explorer.filters import PERIODS
from orgs.explorer.measures import Measure, Measures, Series, measure_calls
from orgs.explorer.timeline import say_duration
from orgs.ui.histogram import say_length
from orgs.ui.line_chart import LineChart, make_line_chart

_PERIODS = ("hour", "day", "week", "month")
_LOOKS = ("1", "2", "3", "4", "5")
_DRAWN = len(_LOOKS)


class ChartsForm(forms.Form):
    """What to look at. Everything is optional."""

    by = forms.ChoiceField(
        required=False,
        label="For each",
        choices=[("integration", "Integration"), ("application", "Application")],
        widget=UnfoldAdminSelectWidget,
    )
    period = forms.ChoiceField(required=False, choices=[(key, PERIODS[key][0]) for key in _PERIODS])
    organization = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.GET)
        fields: dict[str, Any] = dict(self.fields)
        self.organizations = list_readable(request)
        fields["organization"].choices = [("", "All of them"), *self.organizations.items()]
        fields["organization"].widget.choices = fields["organization"].choices

    @property
    def by_words(self) -> str:
        return self.cleaned_data["by"] or "integration"


def show_charts(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the charts of what an address asks for."""
    if not may_explore(request):
        raise PermissionDenied
    form = ChartsForm(request)
    context = {**admin.admin_site.each_context(request), "opts": admin.opts, "title": "Charts", "form": form}
    return answer(request, "admin/kontext/charts.html", context, form, partial(_read, request, form))


def _read(request: HttpRequest, form: ChartsForm) -> dict[str, Any]:
    by, period, organization = form.by_words, form.cleaned_data["period"] or "day", form.cleaned_data["organization"]
    length = PERIODS[period][1]
    assert length is not None
    now = timezone.now()
    window = Window(now - length, now + dt.timedelta(seconds=1))
    trail = Trail([UUID(organization)]) if organization else read_trail(request)
    measures = measure_calls(trail, window, by=by)
    explorer = reverse("admin:audit_auditevent_changelist")
    here = f"{explorer}?period={period}&type=capability.&organization={organization}"
    return {
        "periods": [
            (PERIODS[key][0], f"?by={by}&period={key}&organization={organization}", key == period) for key in _PERIODS
        ],
        "by": by,
        "period": period,
        "series": [
            {"one": one, "p50": _say(one.total.p50_us), "p95": _say(one.total.p95_us), "address": f"{here}&{by}="}
            for one in measures.series
        ],
        "charts": _draw(measures, window),
        "counted": measures.tally,
        "step": say_length(measures.tally.width),
        "rows": _make_rows(measures),
    }


def _draw(measures: Measures, window: Window) -> list[LineChart]:
    width = measures.tally.width
    numbers = range(int(window.start.timestamp() // width), int(window.end.timestamp() // width) + 1)
    drawn = list(zip(measures.series, _LOOKS, strict=False))

    def draw(title: str, name: str) -> LineChart:
        lines = [
            (one.name, look, {number: float(getattr(measure, name)) for number, measure in one.by_bucket.items()})
            for one, look in drawn
        ]
        return make_line_chart(title, lines, numbers=numbers, seconds=width, say=lambda value: f"{value:,.0f}")

    return [
        draw("Calls", "calls"),
        draw("Denied", "denied"),
        draw("Failed", "failed"),
        _draw_latency(drawn, numbers, width),
    ]


def _draw_latency(drawn: list[tuple[Series, str]], numbers: range, width: int) -> LineChart:
    lines, dashed = [], []
    for one, look in drawn:
        for name, words in (("p50_us", "half are quicker"), ("p95_us", "95 % are quicker")):
            values = {number: getattr(measure, name) for number, measure in one.by_bucket.items()}
            known = {number: value / 1000 for number, value in values.items() if value is not None}
            lines.append((f"{one.name}, {words}", look, known))
            if name == "p95_us":
                dashed.append(lines[-1][0])
    return make_line_chart(
        "Latency",
        lines,
        numbers=numbers,
        seconds=width,
        say=lambda value: f"{value:,.0f} ms",
        dashed=dashed,
        is_counted=False,
    )


def _make_rows(measures: Measures) -> list[tuple[str, str, Measure, str, str]]:
    """Return the numbers behind the pictures, the newest stretch first."""
    return [
        (
            f"{dt.datetime.fromtimestamp(number * measures.tally.width, dt.UTC):%-d %b, %H:%M:%S}".removesuffix(":00"),
            one.name,
            one.by_bucket[number],
            _say(one.by_bucket[number].p50_us),
            _say(one.by_bucket[number].p95_us),
        )
        for number in sorted({number for one in measures.series for number in one.by_bucket}, reverse=True)
        for one in measures.series[:_DRAWN]
        if number in one.by_bucket
    ]


def _say(microseconds: float | None) -> str:
    return say_duration(dt.timedelta(microseconds=microseconds)) if microseconds is not None else "none"
