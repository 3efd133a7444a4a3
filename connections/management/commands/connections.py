from __future__ import annotations

import datetime as dt
import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO, cast

from django.core.management import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connections.health import Finding, examine
from orgs.models import Organization


class Command(BaseCommand):
    """Exit codes: 0 whatever is found, 1 when there is no such organization. Changes nothing."""

    help = "Say which connections of an organization fail or will within days, why, and who can mend it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["doctor"])
        parser.add_argument("--organization", required=True, metavar="SLUG")
        parser.add_argument("--days", type=int, default=7, help="how far to look ahead (default: 7)")
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError("there is no organization with this short name: see /admin/ for those there are")
        findings = examine(organization, ahead=dt.timedelta(days=options["days"]))
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2, default=str))
        else:
            self._show(findings, days=options["days"], no_color=options["no_color"])

    def _show(self, findings: Sequence[Finding], *, days: int, no_color: bool) -> None:
        console = Console(file=cast(TextIO, self.stdout), no_color=no_color or None, highlight=False)
        if findings:
            console.print(_make_table(findings))
        failing = sum(finding.breaks_at is None for finding in findings)
        console.print(f"{failing} need attention now, {len(findings) - failing} within {days} days.")


def _make_table(findings: Sequence[Finding]) -> Table:
    table = Table("Integration", "Person", "Breaks", "What is wrong", "Who, and how", box=None, pad_edge=False)
    for finding in findings:
        breaks = f"{finding.breaks_at:%Y-%m-%d %H:%M} UTC" if finding.breaks_at else "now"
        remedy = f"{finding.mender}: {finding.remedy}"
        # As plain text: what an integration says of itself must not be read as markup.
        table.add_row(*(Text(cell) for cell in (finding.integration, finding.person, breaks, finding.problem, remedy)))
    return table
