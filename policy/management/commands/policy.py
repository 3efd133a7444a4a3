from __future__ import annotations

import datetime as dt
import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from audit.services.record import Actor
from orgs.models import Organization
from policy.compile import load_engine_rules
from policy.decision_tests import read_decision_tests, run_decision_tests
from policy.describe import describe_rule
from policy.documents import read_document, write_document
from policy.engine.cedar import export_rules
from policy.errors import DocumentError
from policy.findings import Examiner
from policy.history import read_history
from policy.replay_report import ReplayProgress, write_json, write_text
from policy.services.apply_document import Changes, apply_document, find_changes
from policy.services.replay import replay
from policy.services.restore_rule import restore_rule
from policy.state import write_value

_ACTOR = Actor(user_name="manage.py policy import")
_MOST_DAYS = 3660
_RESTORING = Actor(user_name="manage.py policy restore")


class Command(BaseCommand):
    """Exit codes: 0 done (for diff: nothing differs; for test: all as expected), 1 otherwise."""

    help = "Keep an organization's rules in a file, test what they decide, see who changed them, and take changes back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["export", "diff", "import", "test", "replay", "history", "restore"])
        parser.add_argument("--organization", required=True, help="the organization's slug")
        parser.add_argument("--file", help="the YAML file of rules (diff, import, replay) or of tests (test)")
        parser.add_argument("--rules", help="test: a YAML file of rules to try in place of the stored ones")
        parser.add_argument("--rule", type=UUID, help="history: of this rule alone")
        parser.add_argument("--event", type=UUID, help="restore: the change after which the rule was right")
        parser.add_argument("--days", type=int, default=30, help="replay: calls of how many days past (30)")
        parser.add_argument("--cedar", action="store_true", help="export: as Cedar policies")
        parser.add_argument("--dry-run", action="store_true", help="import: say what would change, and change nothing")
        parser.add_argument("--json", action="store_true", help="diff, import, test, replay, history: print JSON")

    def handle(self, *_arguments: Any, action: str, organization: str, **options: Any) -> None:
        found = Organization.objects.filter(slug=organization).first()
        if found is None:
            raise CommandError(f"there is no organization {organization!r}: give its slug, as the admin lists it")
        try:
            getattr(self, f"_{action}")(found, options)
        except DocumentError as error:
            raise CommandError("\n".join(["nothing was changed:", *(f"  {one}" for one in error.problems)])) from None

    def _export(self, organization: Organization, options: dict[str, Any]) -> None:
        if options["cedar"]:
            rules, baselines = load_engine_rules(organization.pk)
            self.stdout.write(export_rules(rules, baselines), ending="")
        else:
            self.stdout.write(write_document(organization), ending="")

    def _diff(self, organization: Organization, options: dict[str, Any]) -> None:
        document = read_document(organization, _read(options, "file"))
        changes = find_changes(organization=organization, document=document)
        self._show(changes, Examiner(organization, document=document), options, "different")
        if changes:
            sys.exit(1)

    def _import(self, organization: Organization, options: dict[str, Any]) -> None:
        document = read_document(organization, _read(options, "file"))
        if options["dry_run"]:
            changes = find_changes(organization=organization, document=document)
        else:
            changes = apply_document(organization=organization, document=document, actor=_ACTOR)
        verb = "would be changed" if options["dry_run"] else "changed"
        self._show(changes, Examiner(organization, document=document), options, verb)

    def _test(self, organization: Organization, options: dict[str, Any]) -> None:
        text = _read(options, "file")
        with transaction.atomic():
            if options["rules"]:
                draft = read_document(organization, _read(options, "rules"))
                apply_document(organization=organization, document=draft, actor=_ACTOR)
            outcomes = list(run_decision_tests(organization, read_decision_tests(organization, text)))
            transaction.set_rollback(True)
        failed = [outcome for outcome in outcomes if outcome.problem]
        if options["json"]:
            tests = [{"name": one.name, "problem": one.problem, "sentence": one.sentence} for one in outcomes]
            self.stdout.write(json.dumps({"failed": len(failed), "tests": tests}, indent=2))
        else:
            for one in outcomes:
                self.stdout.write(f"✕ {one.name}: {one.problem}. {one.sentence}" if one.problem else f"✓ {one.name}")
            self.stdout.write(f"{len(outcomes) - len(failed)} of {len(outcomes)} decisions are as expected")
        if failed:
            sys.exit(1)

    def _replay(self, organization: Organization, options: dict[str, Any]) -> None:
        if not 1 <= options["days"] <= _MOST_DAYS:
            raise CommandError(f"give --days from 1 to {_MOST_DAYS}")
        document = read_document(organization, _read(options, "file")) if options["file"] else None
        since = timezone.now() - dt.timedelta(days=options["days"])
        # On standard error: what is found can be sent elsewhere meanwhile.
        with ReplayProgress(sys.stderr) as progress:
            found = replay(organization=organization, document=document, since=since, progress=progress.show)
        self.stdout.write(write_json(found) if options["json"] else write_text(found))

    def _history(self, organization: Organization, options: dict[str, Any]) -> None:
        revisions = list(read_history(organization=organization, rule=options["rule"]))
        if options["json"]:
            self.stdout.write(json.dumps([asdict(one) for one in revisions], indent=2, default=str))
            return
        for one in revisions:
            self.stdout.write(
                f"{one.at:%Y-%m-%d %H:%M:%S} UTC  {one.type.removeprefix('rule.')} by {one.who}: {one.sentence}"
            )
            for name, (former, new) in one.changed.items():
                self.stdout.write(f"    {name}: {write_value(former)} → {write_value(new)}")
            self.stdout.write(f"    rule {one.rule}, event {one.event}")
        self.stdout.write(f"changes: {len(revisions) or 'none'}")

    def _restore(self, organization: Organization, options: dict[str, Any]) -> None:
        if options["event"] is None:
            raise CommandError("give --event: which change, as `policy history` lists them")
        try:
            rule = restore_rule(organization=organization, event=options["event"], author=None, actor=_RESTORING)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(f"restored: {describe_rule(rule)}")

    def _show(self, changes: Changes, examiner: Examiner, options: dict[str, Any], verb: str) -> None:
        """Print each change, and below it what its author should know."""
        found = [(line, examiner.examine(rule) if rule is not None else []) for line, rule in changes.describe()]
        if options["json"]:
            listed = [{"change": line, **asdict(warning)} for line, some in found for warning in some]
            document = {"changes": [line for line, _ in found], "warnings": listed}
            self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))
            return
        for line, warnings in found:
            self.stdout.write(line)
            for warning in warnings:
                self.stdout.write(f"    ! {warning.sentence}")
        self.stdout.write(f"{verb}: {len(found) or 'nothing'}")


def _read(options: dict[str, Any], name: str) -> str:
    if not options[name]:
        raise CommandError(f"give --{name}: the YAML file to read")
    try:
        return Path(options[name]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"can't read {options[name]}: {error}") from None
