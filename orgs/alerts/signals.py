"""Which of some calls are unusual, and for what. Each kind remembers what it needs, also while it is switched off."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from orgs.alerts.calls import SeenCall
from orgs.models import AlertKind, AlertSettings, DenialCount, SeenCapability, SeenNetwork
from orgs.models.alerts import DAYS

_QUARTER = dt.timedelta(minutes=15)
_HOUR = dt.timedelta(hours=1)
_DAY = dt.timedelta(days=1)
# Networks are noted again no more often: a busy application would write with each reading.
_EXACT_TO = _HOUR


@dataclass(frozen=True, slots=True)
class Signal:
    """One unusual call, and `what` about it. Of many together `measure` says how many, and `usual` what is usual."""

    kind: AlertKind
    call: SeenCall
    what: str
    measure: str = ""
    usual: str = ""


def find_signals(organization_id: UUID, settings: AlertSettings, calls: Sequence[SeenCall]) -> list[Signal]:
    """Return what is unusual, in the order of the calls, and remember all of them. Belongs into a transaction."""
    return [
        *_find_new_capabilities(organization_id, calls),
        *_find_new_networks(organization_id, settings, calls),
        *_find_denial_spikes(organization_id, settings, calls),
        *_find_off_hours(settings, calls),
    ]


def is_on(settings: AlertSettings, kind: AlertKind) -> bool:
    return bool(getattr(settings, kind.value))


def _find_new_capabilities(organization_id: UUID, calls: Sequence[SeenCall]) -> Iterator[Signal]:
    # Only what was let through: names of what was denied are the application's to invent, without end.
    first: dict[tuple[UUID, str, str], SeenCall] = {}
    for call in calls:
        if call.is_let_through:
            first.setdefault((call.application_id, call.integration, call.capability), call)
    applications = {key[0] for key in first}
    seen = SeenCapability.objects.filter(organization=organization_id, application_id__in=applications)
    known = set(seen.values_list("application_id", "integration", "capability"))
    new = {key: call for key, call in first.items() if key not in known}
    SeenCapability.objects.bulk_create(
        SeenCapability(organization_id=organization_id, application_id=app, integration=integration, capability=name)
        for app, integration, name in new
    )
    for call in new.values():
        yield Signal(AlertKind.NEW_CAPABILITY, call, call.target)


def _find_new_networks(organization_id: UUID, settings: AlertSettings, calls: Sequence[SeenCall]) -> Iterator[Signal]:
    first: dict[tuple[UUID, str], SeenCall] = {}
    last: dict[tuple[UUID, str], dt.datetime] = {}
    for call in calls:
        if call.network is not None:
            key = (call.application_id, call.network)
            first.setdefault(key, call)
            last[key] = max(call.at, last.get(key, call.at))
    rows = SeenNetwork.objects.filter(organization=organization_id, application_id__in={app for app, _ in first})
    known = {
        (row.application_id, row.network): row.last_seen_at for row in rows.filter(network__in={n for _, n in first})
    }
    # From somewhere everybody comes at first: that is no news.
    settled = set(rows.values_list("application_id", flat=True).distinct())
    _note_networks(organization_id, {key: at for key, at in last.items() if _is_news(known.get(key), at, _EXACT_TO)})
    for key, call in first.items():
        app, network = key
        if app in settled and _is_news(known.get(key), call.at, dt.timedelta(days=settings.network_days)):
            yield Signal(AlertKind.NEW_NETWORK, call, network)
        settled.add(app)


def _is_news(seen_at: dt.datetime | None, at: dt.datetime, after: dt.timedelta) -> bool:
    return seen_at is None or at - seen_at >= after


def _note_networks(organization_id: UUID, last: dict[tuple[UUID, str], dt.datetime]) -> None:
    SeenNetwork.objects.bulk_create(
        [
            SeenNetwork(organization_id=organization_id, application_id=app, network=network, last_seen_at=at)
            for (app, network), at in last.items()
        ],
        update_conflicts=True,
        update_fields=["last_seen_at"],
        unique_fields=["organization", "application_id", "network"],
    )


def _find_denial_spikes(organization_id: UUID, settings: AlertSettings, calls: Sequence[SeenCall]) -> Iterator[Signal]:
    denied = [call for call in calls if call.is_denied]
    counted = Counter((call.application_id, _begin_quarter(call.at)) for call in denied)
    if not counted:
        return
    counts = _add_denials(organization_id, counted)
    spikes = {key: spike for key in counted if (spike := _find_spike(settings, counts, *key)) is not None}
    for call in denied:
        spike = spikes.get((call.application_id, _begin_quarter(call.at)))
        if spike is not None:
            yield Signal(AlertKind.DENIAL_SPIKE, call, call.target, *spike)


Counts = dict[tuple[UUID, dt.datetime], int]


def _add_denials(organization_id: UUID, counted: Counter[tuple[UUID, dt.datetime]]) -> Counts:
    """Count more denials, and return the counts of these applications in the day around."""
    quarters = [quarter for _, quarter in counted]
    rows = DenialCount.objects.filter(
        organization=organization_id,
        application_id__in={app for app, _ in counted},
        quarter__gte=min(quarters) - _DAY - _HOUR,
        quarter__lte=max(quarters),
    )
    counts = {(row.application_id, row.quarter): row.count for row in rows}
    for key, number in counted.items():
        counts[key] = counts.get(key, 0) + number
    DenialCount.objects.bulk_create(
        [
            DenialCount(
                organization_id=organization_id, application_id=app, quarter=quarter, count=counts[app, quarter]
            )
            for app, quarter in counted
        ],
        update_conflicts=True,
        update_fields=["count"],
        unique_fields=["organization", "application_id", "quarter"],
    )
    return counts


def _find_spike(
    settings: AlertSettings, counts: Counts, application_id: UUID, quarter: dt.datetime
) -> tuple[str, str] | None:
    """Compare the hour that ends with this quarter with the 24 hours before it."""
    first = quarter - 3 * _QUARTER
    recent = _sum(counts, application_id, first, quarter)
    usual = _sum(counts, application_id, first - _DAY, first - _QUARTER) / 24
    if recent < settings.denial_floor or recent < settings.denial_factor * usual:
        return None
    return f"{recent} calls denied within an hour", f"in the 24 hours before, it was {usual:.3g} an hour"


def _begin_quarter(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def _sum(counts: Counts, application_id: UUID, first: dt.datetime, last: dt.datetime) -> int:
    return sum(number for (app, at), number in counts.items() if app == application_id and first <= at <= last)


def _find_off_hours(settings: AlertSettings, calls: Sequence[SeenCall]) -> Iterator[Signal]:
    if not settings.off_hours:
        return
    zone = zoneinfo.ZoneInfo(settings.zone)
    for call in calls:
        if call.user_id is None and not settings.off_hours_autonomous:
            continue
        there = call.at.astimezone(zone)
        if not is_within_hours(settings, there):
            yield Signal(AlertKind.OFF_HOURS, call, f"{call.target} on {there:%a %-d %b at %H:%M} {settings.zone}")


def is_within_hours(settings: AlertSettings, moment: dt.datetime) -> bool:
    """Tell whether a moment of the organization's own clock is in its hours, which may go past midnight."""
    opens, closes, now = settings.opens, settings.closes, moment.time()
    if opens < closes:
        return DAYS[moment.weekday()] in settings.days and opens <= now < closes
    began = moment if now >= opens else moment - _DAY
    return DAYS[began.weekday()] in settings.days and (now >= opens or now < closes)
