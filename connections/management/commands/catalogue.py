from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any, TextIO, cast

from django.core.management import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connections.catalogue.entries import REGISTRATIONS, Entry
from connections.catalogue.loading import find_entry, get_catalogue
from connections.catalogue.reading import write_table


class Command(BaseCommand):
    """Exit codes: 0 when all is well, 1 when a file can't be used (check) or there is no such service (show)."""

    help = "Check the files of the catalogue, list the services in it, or show one. Changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["check", "list", "show"])
        parser.add_argument("slug", nargs="?", default="", help="the service to show, such as github")
        parser.add_argument("--json", action="store_true", help="print as JSON")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        self._console = Console(
            file=cast(TextIO, self.stdout), no_color=options["no_color"] or None, highlight=False, soft_wrap=True
        )
        if options["action"] == "check":
            self._check()
        elif options["action"] == "list":
            self._list(is_json=options["json"])
        else:
            self._show(options["slug"], is_json=options["json"])

    def _check(self) -> None:
        catalogue = get_catalogue()
        for problem in catalogue.problems:
            self._console.print(Text(f"{_shorten(problem.file)}: {problem.field} {problem.text}".replace("  ", " ")))
        modes = Counter(mode for entry in catalogue.entries.values() for mode in entry.auth_modes)
        count = len(catalogue.entries)
        if catalogue.problems:
            files = len({problem.file for problem in catalogue.problems})
            raise CommandError(f"{files} files can't be used, {count} can: correct what is said above")
        by_mode = ", ".join(f"{number} {mode}" for mode, number in modes.most_common())
        behind = sum(entry.mcp is not None for entry in catalogue.entries.values())
        self._console.print(f"{count} services, all good: {behind} with an MCP server; {by_mode}.")

    def _list(self, *, is_json: bool) -> None:
        entries = get_catalogue().entries.values()
        if is_json:
            self.stdout.write(json.dumps([_summarize(entry) for entry in entries], indent=2))
            return
        table = Table("Service", "Name", "Category", "Used as", box=None, pad_edge=False)
        for entry in entries:
            ways = ", ".join(f"{way.use} {way.auth_mode}" for way in entry.ways)
            table.add_row(*(Text(cell) for cell in (entry.slug, entry.name, entry.category, ways)))
        self._console.print(table)

    def _show(self, slug: str, *, is_json: bool) -> None:
        entry = find_entry(slug)
        if entry is None:
            raise CommandError(f"there is no service {slug!r} in the catalogue: `manage.py catalogue list` has all")
        if is_json:
            self.stdout.write(json.dumps(write_table(entry), indent=2, ensure_ascii=False))
            return
        for line in _describe(entry):
            self._console.print(Text(line))


def _summarize(entry: Entry) -> dict[str, Any]:
    ways = [{"use": way.use, "authMode": way.auth_mode, "asks": sorted(entry.find_asked(way))} for way in entry.ways]
    return {"slug": entry.slug, "name": entry.name, "category": entry.category, "docsUrl": entry.docs_url, "ways": ways}


def _describe(entry: Entry) -> list[str]:
    lines = [f"{entry.name} ({entry.slug}), {entry.category}", entry.notes, f"Documentation: {entry.docs_url}"]
    if entry.mcp is not None:
        lines.append(f"MCP server: {entry.mcp.url} ({REGISTRATIONS[entry.mcp.registration]})")
    for way in entry.ways:
        asked = ", ".join(sorted(entry.find_asked(way)))
        lines.append(f"  {way.use} {way.auth_mode}: {entry.find_url(way)}" + (f"; asks for {asked}" if asked else ""))
    lines.append(f"Confidence: {entry.confidence}" + (f"; unsure of {', '.join(entry.unsure)}" if entry.unsure else ""))
    return [line for line in lines if line]


def _shorten(file: Path) -> str:
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
