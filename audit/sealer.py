"""The loop that seals: what is new within a second, and everything else, however it came to be late.

Any number of these may run, on any number of machines: each turn takes a lock for its transaction, or does nothing.

What is new is looked for among the keys from a little before the oldest writing transaction on. Keys are UUIDv7, made
on the clock of whoever records the event, so clocks may differ by `_MARGIN_SECONDS`. Whatever falls outside (a clock
that is far off, a transaction of a role whose sessions we can't see) is found by the patrol, which walks the whole log
again and again in small steps. Completeness depends on neither: seal_events takes what has no leaf.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from uuid import UUID

import psycopg
from django.db import DatabaseError, InterfaceError, connection

from audit.models import Leaf
from audit.services.seal import FIRST, LAST, Sign, seal_events

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.4
_PATROL_EVENTS = 2_000
_RETRY_SECONDS = 1.0
_MARGIN_SECONDS = 10.0
# A transaction that is open for longer than this must not make every turn read hours of the log: the patrol finds it.
_LONGEST_TRANSACTION = 900.0


@dataclass
class Sealer:
    """Seals until told to stop. `sealed` counts the events."""

    sign: Sign
    sealed: int = 0
    _after: UUID | None = None
    _patrolled: UUID = FIRST
    _is_failing: bool = False

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                pause = 0.0 if self.turn() else TURN_SECONDS
                self._is_failing = False
            except (DatabaseError, InterfaceError, psycopg.Error) as error:
                self._note_failure(error)
                pause = _RETRY_SECONDS
            stop.wait(max(0.0, pause - (time.monotonic() - began)))

    def turn(self) -> bool:
        """Seal what is new and go one step on the patrol. Returns whether more is waiting."""
        if self._after is None:
            # After a pause, however long it was: from the newest sealed event on, so that a backlog keeps its order.
            self._after = _find_start()
        horizon = _find_horizon()  # before looking: what is written from now on has a key above it
        sealed = seal_events(sign=self.sign, after=self._after, until=LAST)
        if sealed is None:
            return False
        self.sealed += sealed.count
        self._after = sealed.reached or horizon
        if sealed.reached is None:
            self._patrol()
        return sealed.reached is not None

    def _patrol(self) -> None:
        end = _find_end(self._patrolled)
        sealed = seal_events(sign=self.sign, after=self._patrolled, until=end)
        if sealed is None or sealed.reached is not None:
            return  # this step again
        if sealed.count:
            logger.warning("%d audit events were sealed late: a clock is off, or a transaction took long", sealed.count)
            self.sealed += sealed.count
        self._patrolled = FIRST if end == LAST else end

    def _note_failure(self, error: Exception) -> None:
        if not self._is_failing:
            logger.warning("audit events can't be sealed at present: %s", " ".join(str(error).split()))
        self._is_failing = True
        connection.close()


def make_lowest_key(seconds: float) -> UUID:
    """Return the lowest UUIDv7 of this moment (seconds since 1970)."""
    return UUID(int=max(0, int(seconds * 1000)) << 80)


def read_moment(key: UUID) -> float:
    """Return when this UUIDv7 was made, in seconds since 1970."""
    return (key.int >> 80) / 1000


def _find_start() -> UUID:
    newest = Leaf.objects.order_by("-event_id").values_list("event_id", flat=True).first()
    return FIRST if newest is None else min(make_lowest_key(read_moment(newest) - _MARGIN_SECONDS), _find_horizon())


def _find_horizon() -> UUID:
    """Return the key below which no event can appear any more, as far as can be told."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp()), extract(epoch FROM min(xact_start)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
        )
        now, oldest = cursor.fetchone()
    began = max(float(oldest), float(now) - _LONGEST_TRANSACTION) if oldest is not None else float(now)
    return make_lowest_key(min(began, float(now)) - _MARGIN_SECONDS)


def _find_end(after: UUID) -> UUID:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM audit_auditevent WHERE id > %s ORDER BY id OFFSET %s LIMIT 1", [after, _PATROL_EVENTS - 1]
        )
        row = cursor.fetchone()
    return row[0] if row is not None else LAST
