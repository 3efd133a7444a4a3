from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.db.models import Q

from audit.export import ExportError, Period, export_tree
from audit.models import Tree
from audit.notes import NoteError, VerifierKey, parse_key, read_notes
from audit.partitions import Partition
from audit.services.record import Actor, record_event
from audit.services.retain import RetentionError, delete_payloads, describe, drop_month, find_due, name_month
from audit.services.roll_up import recount, roll_up
from audit.types import EventType
from audit.verification.findings import Report
from audit.verification.state import read_state, write_state
from audit.verification.verify import State, Trust, verify_tree
from kontext.exit_codes import ExitCode
from orgs.models import Organization, User
from orgs.outlets.configured import get_outlets
from orgs.services.checkpoint_keys import get_verifier_keys, sign_for_tree
from orgs.services.erase_payloads import count_payloads, erase_payloads
from orgs.services.export_payloads import export_payloads
from orgs.services.publish_checkpoints import get_checkpoint_file, get_keys_file


class Command(BaseCommand):
    """Exit codes: 0 everything is as it was sealed, 1 something was tampered with, or the command could not run."""

    help = (
        "Verify the audit trail against its Merkle trees and published checkpoints, export it for an auditor, drop "
        "months that are kept no longer under a signed statement, erase what was kept of the content of a person's "
        "calls, or count anew what charts show of the hours."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["verify", "export", "retain", "erase", "recount"])
        parser.add_argument("--organization", metavar="SLUG", help="of one organization; without it, of all")
        parser.add_argument("--checkpoints", metavar="FILE", help="kept checkpoints instead of the published ones")
        parser.add_argument("--keys", metavar="FILE", help="verifier keys instead of the published ones, one a line")
        parser.add_argument("--resume", metavar="FILE", help="keep in this file how far it came, and go on from there")
        parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
        parser.add_argument("--output", metavar="FOLDER", help="export: the new folder to write the bundle to")
        parser.add_argument("--since", metavar="TIME", help="export: only what was recorded from then on (ISO 8601)")
        parser.add_argument("--until", metavar="TIME", help="export: only what was recorded before then")
        parser.add_argument(
            "--with-payloads", action="store_true", help="export: also what was kept of the content of calls, readable"
        )
        parser.add_argument("--months", type=int, help="retain: how many whole months to keep (KONTEXT_AUDIT_MONTHS)")
        parser.add_argument("--apply", action="store_true", help="retain: drop them; without it, only say which")
        parser.add_argument("--user", metavar="WHO", help="erase: a member's identifier, e-mail address or user name")
        parser.add_argument("--yes", action="store_true", help="erase: don't ask")
        parser.add_argument("--json", action="store_true", help="print the reports as JSON")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        actions = {
            "verify": self._verify_all,
            "export": self._export,
            "retain": self._retain,
            "erase": self._erase,
            "recount": self._recount,
        }
        actions[options["action"]](options)

    def _export(self, options: dict[str, Any]) -> None:
        if not options["output"] or not options["organization"]:
            raise CommandError("give --organization and --output: a new folder for the bundle")
        trees = _find_trees(options)
        if not trees:
            raise CommandError("nothing of this organization is sealed yet")
        [tree], period = trees, Period(_read_time(options, "since"), _read_time(options, "until"))
        folder, began = Path(options["output"]), time.monotonic()

        def tell(done: int, size: int) -> None:
            self._tell_progress(tree, done, done, time.monotonic() - began, options)

        try:
            count = export_tree(tree, folder, keys=get_verifier_keys(tree.origin), period=period, progress=tell)
            payloads = export_payloads(folder) if options["with_payloads"] else None
        except (ExportError, OSError) as error:
            raise CommandError(str(error)) from None
        record_event(
            type=EventType.AUDIT_EXPORTED,
            organization_id=tree.organization_id,
            actor=Actor(user_name="manage.py audit export"),
            details={
                "events": count,
                "size": tree.size,
                "since": options["since"],
                "until": options["until"],
                "payloads": payloads,
            },
        )
        if options["json"]:
            self.stdout.write(json.dumps({"folder": str(folder), "events": count}))
        else:
            self.stdout.write(f"exported: {count} events to {folder}. Anybody can check it: python {folder}/verify.py")

    def _erase(self, options: dict[str, Any]) -> None:
        if not options["user"] or not options["organization"]:
            raise CommandError("give --organization and --user: whose calls, and where")
        organization = _get_organization(options)
        user = _get_person(organization, options["user"])
        count = count_payloads(organization=organization, user=user)
        self.stdout.write(
            f"What was kept of the content of calls for {user} in {organization}, at {count} events, becomes "
            "unreadable for good. Events and their tree stay as they are. Backups keep the key until they are deleted."
        )
        if not options["yes"] and not _is_confirmed():
            raise CommandError("nothing was erased: answer yes, or give --yes")
        actor = Actor(user_name="manage.py audit erase")
        erased = erase_payloads(organization=organization, user=user, actor=actor)
        self.stdout.write(f"erased: {erased.keys} keys, {erased.payloads} payloads")

    def _recount(self, options: dict[str, Any]) -> None:
        for tree in _find_trees(options):
            recount(organization_id=tree.organization_id)
        count = roll_up(seconds=float("inf"))
        self.stdout.write(f"counted: {count} events. What is not sealed yet follows by itself")

    def _retain(self, options: dict[str, Any]) -> None:
        months = settings.AUDIT_MONTHS if options["months"] is None else options["months"]
        if months < 1:
            raise CommandError("everything is kept: set KONTEXT_AUDIT_MONTHS, or give --months, to at least 1")
        if options["organization"]:
            raise CommandError("a month is dropped of all organizations at once: leave --organization out")
        done = [self._retain_one(partition, months, options) for partition in find_due(months)]
        if options["apply"]:
            delete_payloads()
        if options["json"]:
            self.stdout.write(json.dumps(done, indent=2))
        elif not done:
            self.stdout.write(f"nothing is due: no whole month is older than {months} months")
        elif not options["apply"]:
            self.stdout.write("nothing was changed. Verify and export what you want to prove later, then use --apply")

    def _retain_one(self, partition: Partition, months: int, options: dict[str, Any]) -> dict[str, Any]:
        self._tell(f"{name_month(partition)}: reading what is in it", options)
        month = describe(partition)
        facts = {"month": month.name, "events": month.events, "bytes": month.bytes, "trees": len(month.leaves)}
        if options["apply"]:
            actor = Actor(user_name="manage.py audit retain")
            try:
                statements = drop_month(
                    partition=partition, months=months, sign=sign_for_tree, actor=actor, outlets=list(get_outlets())
                )
            except RetentionError as error:
                raise CommandError(str(error)) from None
            facts["statements"] = [str(statement) for statement in statements]
        if not options["json"]:
            verb = "dropped" if options["apply"] else "due"
            size = f"{month.bytes / 1_000_000:,.0f} MB"
            self.stdout.write(f"{verb}: {month.name}, {month.events:,} events of {len(month.leaves)} trees, {size}")
        return facts

    def _tell(self, text: str, options: dict[str, Any]) -> None:
        if options["verbosity"] > 0 and self.stderr.isatty():
            self.stderr.write(text)

    def _verify_all(self, options: dict[str, Any]) -> None:
        reports = [self._verify(tree, options) for tree in _find_trees(options)]
        if options["json"]:
            self.stdout.write(json.dumps([asdict(report) for report in reports], indent=2, default=str))
        if any(report.findings for report in reports):
            sys.exit(ExitCode.FAILED)

    def _verify(self, tree: Tree, options: dict[str, Any]) -> Report:
        resume = Path(options["resume"]) if options["resume"] else None
        state = read_state(resume, tree.origin) if resume is not None else State()
        began, at_first = time.monotonic(), state.size

        def tell(verified: int) -> None:
            if resume is not None:
                write_state(resume, tree.origin, state)
            self._tell_progress(tree, verified, verified - at_first, time.monotonic() - began, options)

        report = verify_tree(tree, _read_trust(tree, options), state=state, jobs=options["jobs"], progress=tell)
        if not options["json"]:
            self._show(report)
        return report

    def _tell_progress(self, tree: Tree, verified: int, done: int, seconds: float, options: dict[str, Any]) -> None:
        if options["verbosity"] > 0 and self.stderr.isatty():
            rate = done / max(seconds, 0.001)
            line = f"\r{tree.origin}: {verified:,} of {tree.size:,}, {rate:,.0f} a second"
            self.stderr.write(line, ending="\n" if verified >= tree.size else "")

    def _show(self, report: Report) -> None:
        first = report.first
        if first is None:
            kept = f"{report.published} published checkpoints" if report.published else "no published checkpoint"
            pending = f", {report.pending} not sealed yet" if report.pending else ""
            dropped = f", {report.dropped} dropped under {report.statements} statements" if report.dropped else ""
            events = report.size - report.dropped
            self.stdout.write(f"✓ {report.origin}: {events} events are as they were sealed ({kept}{dropped}{pending})")
            return
        self.stdout.write(f"✕ {report.origin}: {first}")
        others = sorted(report.findings, key=lambda finding: finding.index)[1:]
        for finding in others[:9]:
            self.stdout.write(f"    {finding}")
        if len(others) > 9:
            self.stdout.write(f"    and {len(others) - 9} more")


def _find_trees(options: dict[str, Any]) -> list[Tree]:
    if not options["organization"]:
        return list(Tree.objects.order_by("origin"))
    return list(Tree.objects.for_organization(_get_organization(options).pk))


def _get_organization(options: dict[str, Any]) -> Organization:
    organization = Organization.objects.filter(slug=options["organization"]).first()
    if organization is None:
        raise CommandError("there is no organization with this short name: see /admin/ for those there are")
    return organization


def _get_person(organization: Organization, who: str) -> User:
    """Return the one person meant: a member, also a suspended one."""
    members = User.objects.filter(memberships__organization=organization)
    named = Q(email__iexact=who) | Q(username=who)
    with contextlib.suppress(ValueError):
        named |= Q(pk=UUID(who))
    found = list(members.filter(named)[:2])
    if len(found) != 1:
        problem = "more than one member" if found else "no member"
        raise CommandError(f"{problem} of this organization is meant by --user: give the identifier, see /admin/")
    return found[0]


def _is_confirmed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Type yes to erase it: ").strip().lower() == "yes"


def _read_time(options: dict[str, Any], name: str) -> dt.datetime | None:
    if not options[name]:
        return None
    try:
        moment = dt.datetime.fromisoformat(options[name])
    except ValueError:
        raise CommandError(f"--{name} is no time: write 2026-11-24, or 2026-11-24T21:54:30Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)


def _read_trust(tree: Tree, options: dict[str, Any]) -> Trust:
    notes = Path(options["checkpoints"]) if options["checkpoints"] else get_checkpoint_file(tree)
    keys = Path(options["keys"]) if options["keys"] else get_keys_file(tree)
    must_exist = bool(options["checkpoints"] or options["keys"])
    return Trust(
        _read_keys(tree, keys, must_exist=must_exist), _read(notes, lambda text: list(read_notes(text)), must_exist)
    )


def _read_keys(tree: Tree, path: Path, *, must_exist: bool) -> list[VerifierKey]:
    """Return the kept keys; those of the database only where nothing was ever published."""
    kept = _read(path, lambda text: [parse_key(line) for line in text.splitlines() if line.strip()], must_exist)
    return kept or list(get_verifier_keys(tree.origin))


def _read(path: Path, parse: Callable[[str], list[Any]], must_exist: bool) -> list[Any]:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise CommandError(f"{path} does not exist") from None
        return []
    except (OSError, ValueError, NoteError) as error:
        raise CommandError(f"{path} can't be read: {error}") from None
