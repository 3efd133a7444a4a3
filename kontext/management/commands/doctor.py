from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO, cast

from django.core.management import BaseCommand
from rich.console import Console
from rich.markup import escape

from kontext.doctor import audit, outlets, processes, security, servers
from kontext.doctor.findings import Examination, Finding, Level
from kontext.exit_codes import ExitCode

EXAMINATIONS: tuple[Examination, ...] = (
    processes.examine_supervisor,
    servers.examine_database,
    servers.examine_queue,
    processes.examine_web,
    processes.examine_gateway,
    processes.examine_worker,
    audit.examine_sealing,
    audit.examine_partitions,
    audit.examine_retention,
    audit.examine_checkpoints,
    outlets.examine_outlets,
    security.examine_root_key,
    security.examine_administrators,
    security.examine_static_files,
    security.examine_deployment,
)
MARKS = {Level.OK: "[green]✓[/]", Level.WARNING: "[yellow]![/]", Level.ERROR: "[red]✕[/]"}


class Command(BaseCommand):
    """Exit codes: 0 nothing is broken (there may be warnings), 1 something is. Changes nothing."""

    help = "Say what is configured, reachable, migrated and insecure, each with the command that mends it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        findings = [finding for examine in EXAMINATIONS for finding in examine()]
        counts = Counter(finding.level for finding in findings)
        if options["json"]:
            summary = {"errors": counts[Level.ERROR], "warnings": counts[Level.WARNING]}
            self.stdout.write(json.dumps({**summary, "findings": [asdict(finding) for finding in findings]}, indent=2))
        else:
            self._show(findings, counts, no_color=options["no_color"])
        if counts[Level.ERROR]:
            sys.exit(ExitCode.FAILED)

    def _show(self, findings: Sequence[Finding], counts: Counter[Level], *, no_color: bool) -> None:
        console = Console(file=cast(TextIO, self.stdout), no_color=no_color or None, highlight=False, soft_wrap=True)
        for finding in findings:
            console.print(f"{MARKS[finding.level]} {finding.subject:<14} {escape(finding.text)}")
            if finding.fix:
                console.print(f"  {'':<14} [bold]→ {escape(finding.fix)}[/]")
        console.print(f"\n{_count(counts[Level.ERROR], 'problem')}, {_count(counts[Level.WARNING], 'warning')}")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
