"""What may be asked of the audit trail, as it stands in an address: every filter alone or with any other."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import GenericIPAddressField, Lookup, Q

from audit.models import ApplicationHour, CapabilityHour, HourlyCount, Outcome
from audit.ocsf import VOCABULARY
from audit.types import EventType
from orgs.administration.activity import is_related_to
from orgs.explorer.asked import Asked, Trail, Window
from orgs.models import Application, User
from orgs.ui.status import get_status

INSTALLATION = "installation"
# A filter whose rows an index finds at once is not held to a time by itself.
PERIODS: Mapping[str, tuple[str, dt.timedelta | None]] = {
    "quarter": ("15 minutes", dt.timedelta(minutes=15)),
    "hour": ("Hour", dt.timedelta(hours=1)),
    "day": ("24 hours", dt.timedelta(days=1)),
    "week": ("7 days", dt.timedelta(days=7)),
    "month": ("30 days", dt.timedelta(days=30)),
    "all": ("Any time", None),
}
_NAMES = {
    "organization": "Organization",
    "type": "Event",
    "outcome": "Outcome",
    "user": "User",
    "application": "Application",
    "integration": "Integration",
    "capability": "Capability",
    "account": "Account",
    "address": "Source",
    "session": "Session",
    "trace": "Trace",
    "request": "Request",
    "call": "Call",
    "version": "Policy version",
    "q": "Contains",
    "related": "About",
    "show": "Show",
}
_SHOW = {
    "": ("Results: one line a call", ~Q(phase="requested")),
    "every": ("Every event", Q()),
    "calls": ("Calls alone", ~Q(phase__in=("", "requested"))),
    "began": ("Calls that began", Q(phase="requested")),
    "other": ("Everything but calls", Q(phase="")),
}
_OUTCOMES = {
    "problems": ("Denied or failed", Q(outcome__in=("denied", "error_remote", "error_proxy", "error_auth"))),
    "failed": ("Failed, anywhere", Q(outcome__in=("error_remote", "error_proxy"))),
    **{value: (get_status(value).words, Q(outcome=value)) for value in Outcome.values if value},
}
_SEARCHED = ("user_name", "application_name", "integration", "capability", "account")
_IDENTIFIERS = ("request_id", "trace_id", "session")
_MOST_NAMESAKES = 50
_LONGEST = 255


@GenericIPAddressField.register_lookup
class InNetwork(Lookup):
    """An address in a network, or that very address."""

    lookup_name = "in_network"
    prepare_rhs = False

    def get_db_prep_lookup(self, value: Any, connection: Any) -> Any:
        return "%s::inet", [str(value)]

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, before = self.process_lhs(compiler, connection)
        network, after = self.process_rhs(compiler, connection)
        return f"{column} <<= {network}", [*before, *after]


_MOMENT = dt.timedelta(seconds=1)
# Between these, any time can be reckoned with. The log's keys can't be older.
_YEARS = range(1971, 9000)
Ends = tuple[dt.datetime, dt.datetime]
# What hourly counts tell apart. Together with anything else they still tell in which hours to look.
_ANYWHERE = {"organization", "type", "outcome", "show"}
_COUNTED: Mapping[type[HourlyCount], set[str]] = {
    ApplicationHour: {"application"},
    CapabilityHour: {"integration", "capability"},
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """One filter that is in use: its name, its value in words, and the address without it."""

    name: str
    words: str
    without: str


class FilterForm(forms.Form):
    """Everything is optional. `organizations` are those that may be chosen, by identifier."""

    type = forms.ChoiceField(required=False, label="Event")
    outcome = forms.ChoiceField(
        required=False, choices=[("", "Any"), *((key, words) for key, (words, _) in _OUTCOMES.items())]
    )
    user = forms.CharField(required=False, max_length=_LONGEST)
    application = forms.CharField(required=False, max_length=_LONGEST)
    integration = forms.CharField(required=False, max_length=64)
    capability = forms.CharField(
        required=False, max_length=_LONGEST, help_text="create_issue, github:create_issue, or create_*"
    )
    organization = forms.ChoiceField(required=False)
    account = forms.CharField(required=False, max_length=_LONGEST)
    address = forms.CharField(
        required=False, max_length=64, label="Source", help_text="An address, or a network: 10.1.0.0/16"
    )
    session = forms.CharField(required=False, max_length=128)
    trace = forms.CharField(required=False, max_length=64, label="Trace ID", help_text="Or a whole traceparent")
    request = forms.CharField(required=False, max_length=64, label="Request ID")
    call = forms.UUIDField(required=False, label="Call ID")
    version = forms.IntegerField(required=False, min_value=0, max_value=2**63 - 1, label="Policy version")
    q = forms.CharField(required=False, max_length=_LONGEST, label="Contains", help_text="Any name or identifier")
    show = forms.ChoiceField(required=False, choices=[(key, words) for key, (words, _) in _SHOW.items()])
    period = forms.ChoiceField(required=False, choices=[("", ""), *((key, name) for key, (name, _) in PERIODS.items())])
    start = forms.DateTimeField(required=False, label="From (UTC)")
    end = forms.DateTimeField(required=False, label="Until (UTC)")
    related = forms.UUIDField(required=False)
    before = forms.UUIDField(required=False)
    after = forms.UUIDField(required=False)

    FIRST = ("type", "outcome", "user", "application", "integration", "capability")
    MORE = ("account", "address", "session", "trace", "request", "call", "version", "q", "show")

    def __init__(self, data: Any, *, organizations: Mapping[str, str], reads_installation: bool = False) -> None:
        super().__init__(data)
        self._organizations = dict(organizations)
        if reads_installation:
            self._organizations[INSTALLATION] = "The installation"
        fields: dict[str, Any] = dict(self.fields)
        fields["organization"].choices = [("", "All of them"), *self._organizations.items()]
        fields["type"].choices = [("", "Any"), *_list_types()]

    # What it says

    def clean_trace(self) -> str:
        """Accept a traceparent (W3C Trace Context), of which the second part is the trace."""
        given = str(self.cleaned_data["trace"]).strip().lower()
        parts = given.split("-")
        return parts[1] if len(parts) == 4 else given.replace("-", "")

    def clean_address(self) -> str:
        given = str(self.cleaned_data["address"]).strip()
        try:
            return str(ip_network(given, strict=False)) if given else ""
        except ValueError:
            raise ValidationError("Enter an address, such as 10.1.2.3, or a network, such as 10.1.0.0/16.") from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        start, end = cleaned.get("start"), cleaned.get("end")
        for name, moment in (("start", start), ("end", end)):
            if moment and moment.year not in _YEARS:
                self.add_error(name, f"Enter a time from {_YEARS.start} on, before {_YEARS.stop}.")
        if start and end and start >= end:
            self.add_error("end", "This is not after the beginning.")
        if cleaned.get("before") and cleaned.get("after"):
            self.add_error(None, "A page begins before one event or after one, not both.")
        return cleaned

    @property
    def chosen_period(self) -> str:
        """Return the period that counts: the one asked for, "own" for a beginning or an end, else what suits the rest.

        What names one thing is looked for at any time; what needs the whole stretch read is not.
        """
        asked = self.cleaned_data
        if asked["start"] or asked["end"]:
            return "own"
        if asked["period"]:
            return str(asked["period"])
        if self.names_one_thing:
            return "all"
        return "month" if asked["related"] else "day"

    @property
    def names_one_thing(self) -> bool:
        return any(self.cleaned_data[name] for name in ("session", "trace", "request", "call"))

    def get_window(self, now: dt.datetime, find_ends: Callable[[], Ends | None]) -> Window:
        """Return the time that is asked about. `find_ends` tells of the first and the last event, where they matter."""
        asked, length = self.cleaned_data, PERIODS.get(self.chosen_period, ("", None))[1]
        start, end = asked["start"], asked["end"] or now
        if length is not None:
            start = end - length
        elif start is None:
            first, last = find_ends() or (end - dt.timedelta(days=1), end)
            start, end = first, min(end, last) if self.names_one_thing else end
        # What happened in the last moment belongs to it, too.
        return Window(start, max(end, start) + (_MOMENT if asked["end"] is None or end == start else dt.timedelta()))

    def ask(self, trail: Trail) -> Asked:
        """Return what a valid form asks for of somebody's trail, at whatever time."""
        asked = self.cleaned_data
        chosen = {name for name in _NAMES if asked[name] not in ("", None)}
        if asked["organization"] not in ("", INSTALLATION):
            trail = Trail([UUID(asked["organization"])])
        counts = next(
            (self._narrow(trail.get_counts(model), _ANYWHERE | own) for model, own in _COUNTED.items()
             if chosen <= _ANYWHERE | own), None
        )  # fmt: skip
        hints = tuple(
            self._narrow(trail.get_counts(model), _ANYWHERE | own) for model, own in _COUNTED.items() if chosen & own
        )
        if not hints and chosen & {"type", "outcome"}:
            hints = (self._narrow(trail.get_counts(ApplicationHour), _ANYWHERE),)
        is_indexed = self.names_one_thing or not chosen - {"organization", "show"}
        return Asked(trail, self._narrow(trail.events, set(_NAMES)), counts, hints, is_indexed)

    def _narrow(self, rows: Any, names: Collection[str]) -> Any:
        """Return what these filters find. Events and their counts have the same names for the same things."""
        asked = {name: value if name in names else "" for name, value in self.cleaned_data.items()}
        if self.cleaned_data["call"] and not asked["show"]:
            asked["show"] = "every"
        known = [UUID(key) for key in self._organizations if key != INSTALLATION]
        for condition in _read_conditions(asked, known):
            rows = rows.filter(condition)
        return rows

    # In words, and in addresses

    def list_chosen(self) -> list[Chosen]:
        return [
            Chosen(_NAMES[name], self._say(name, self.cleaned_data[name]), self.make_query(**{name: None}))
            for name in (*self.FIRST, "organization", *self.MORE, "related")
            if self.cleaned_data[name] not in ("", None)
        ]

    def describe(self) -> str:
        """Return all of it as one line."""
        parts = [f"{one.name}: {one.words}" for one in self.list_chosen()]
        return "; ".join([*parts, self.describe_period()])

    def describe_period(self) -> str:
        asked = self.cleaned_data
        if self.chosen_period != "own":
            return f"Last {PERIODS[self.chosen_period][0].lower()}" if self.chosen_period != "all" else "Any time"
        since = f"from {_say_time(asked['start'])}" if asked["start"] else ""
        until = f"until {_say_time(asked['end'])}" if asked["end"] else ""
        return f"{since} {until} UTC".strip().capitalize()

    def make_query(self, **changes: Any) -> str:
        """Return the query of an address that asks for the same with changes; None leaves something out.

        Another page's place is not kept: with other filters it is somewhere else.
        """
        asked = {name: self.data.get(name, "") for name in self.fields if name not in ("before", "after")}
        changed = {**asked, **changes}
        return urlencode({name: value for name, value in changed.items() if value not in ("", None)})

    @property
    def has_more(self) -> bool:
        return any(self[name].value() not in ("", None) or self[name].errors for name in self.MORE)

    def first_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.FIRST]

    def more_fields(self) -> list[forms.BoundField]:
        names = [*self.MORE, *(["organization"] if len(self._organizations) > 1 else [])]
        return [self[name] for name in names]

    def _say(self, name: str, value: Any) -> str:
        if name == "organization":
            return self._organizations.get(value, str(value))
        if name == "outcome":
            return _OUTCOMES[value][0]
        if name == "show":
            return _SHOW[value][0]
        if name == "type":
            return _name_family(value) if value.endswith(".") else VOCABULARY[EventType(value)].text
        return str(value)


def _list_types() -> Iterator[tuple[str, Any]]:
    """Return the types in groups, each with an entry for all of it."""
    families: dict[str, list[tuple[str, str]]] = {}
    for type_ in EventType:
        family = f"{type_.partition('.')[0]}."
        entry = (type_.value, VOCABULARY[type_].text)
        families.setdefault(family, [(family, f"{_name_family(family)}: all of it")]).append(entry)
    for family, choices in families.items():
        yield _name_family(family), choices


def _name_family(family: str) -> str:
    return family.rstrip(".").replace("_", " ").capitalize()


def _say_time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%-d %b %Y %H:%M:%S}".removesuffix(":00")


def _read_conditions(asked: Mapping[str, Any], organizations: Collection[UUID]) -> Iterator[Q]:
    yield _SHOW[asked["show"]][1]
    if asked["organization"] == INSTALLATION:
        yield Q(organization_id__isnull=True)
    elif asked["organization"]:
        yield Q(organization_id=UUID(asked["organization"]))
    if asked["type"]:
        yield Q(type__startswith=asked["type"]) if asked["type"].endswith(".") else Q(type=asked["type"])
    if asked["outcome"]:
        yield _OUTCOMES[asked["outcome"]][1]
    if asked["user"]:
        yield _is_user(asked["user"], organizations)
    if asked["application"]:
        yield _is_application(asked["application"], organizations)
    if asked["capability"]:
        yield _is_capability(asked["capability"])
    if asked["account"]:
        yield Q(account__icontains=asked["account"])
    if asked["address"]:
        yield Q(source_address__in_network=asked["address"])
    if asked["q"]:
        yield _contains(asked["q"])
    if asked["related"]:
        yield is_related_to(asked["related"])
    exact = {"integration": "integration", "session": "session", "trace": "trace_id", "request": "request_id"}
    for name, column in {**exact, "call": "call", "version": "policy_version"}.items():
        if asked[name] not in ("", None):
            yield Q(**{column: asked[name]})


def _is_user(text: str, organizations: Collection[UUID]) -> Q:
    """Go by identifier where somebody has that name or address: an index finds it, also under a former name."""
    if key := _as_key(text):
        return Q(user_id=key)
    members = User.objects.filter(memberships__organization__in=organizations)
    named = members.filter(Q(name__iexact=text) | Q(email__iexact=text))
    keys = list(named.values_list("pk", flat=True).distinct()[:_MOST_NAMESAKES])
    return Q(user_id__in=keys) if keys else Q(user_name__icontains=text)


def _is_application(text: str, organizations: Collection[UUID]) -> Q:
    if key := _as_key(text):
        return Q(application_id=key)
    known = Application.objects.filter(organization__in=organizations)
    named = known.filter(Q(name__iexact=text) | Q(client_id=text))
    keys = list(named.values_list("pk", flat=True)[:_MOST_NAMESAKES])
    return Q(application_id__in=keys) if keys else Q(application_name__icontains=text)


def _is_capability(text: str) -> Q:
    integration, _, name = text.partition(":")
    found = _is_named(text)
    return found | (Q(integration=integration) & _is_named(name)) if name else found


def _is_named(name: str) -> Q:
    if "*" not in name:
        return Q(capability=name)
    return Q(capability__regex="^" + ".*".join(re.escape(part) for part in name.split("*")) + "$")


def _contains(text: str) -> Q:
    found = Q()
    for column in _SEARCHED:
        found |= Q(**{f"{column}__icontains": text})
    for column in _IDENTIFIERS:
        found |= Q(**{column: text})
    if key := _as_key(text):
        found |= is_related_to(key)
    return found


def _as_key(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
