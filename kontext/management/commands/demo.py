from __future__ import annotations

import asyncio
import json
import logging
import sys
from argparse import ArgumentParser
from typing import Any

import httpx2
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import BaseCommand, CommandError
from django.db import OperationalError
from rich.console import Console

from kontext.demo.browser import BrowserError
from kontext.demo.narrator import JsonNarrator, Narrator, TerminalNarrator
from kontext.demo.processes import DemoNotRunningError, find_peers
from kontext.demo.seed import SeedError, World, seed
from kontext.demo.story import Story
from kontext.exit_codes import ExitCode

START = "Start everything with `manage.py up --demo`, and run this again."


class Command(BaseCommand):
    """Exit codes: 0 everything went as it should, 1 it did not. It can be played again and again."""

    help = "Prepare the demo's organizations on a running installation, and play the story through the network."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--seed-only", action="store_true", help="prepare the organizations, play nothing")
        parser.add_argument("--json", action="store_true", help="one JSON object a line; with --seed-only, one object")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        # The application's own library reports each refusal with its traceback; the story tells of them in words.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)
        narrator: Narrator = JsonNarrator(sys.stdout)
        if not options["json"]:
            narrator = TerminalNarrator(Console(no_color=True if options["no_color"] else None))
        world = self._seed(narrator, is_quiet=options["seed_only"] and options["json"])
        if options["seed_only"]:
            self.stdout.write(
                json.dumps(world.describe()) if options["json"] else "The demo's organizations are ready."
            )
        elif not self._play(world, narrator):
            sys.exit(ExitCode.FAILED)

    def _seed(self, narrator: Narrator, *, is_quiet: bool) -> World:
        try:
            return seed(find_peers(settings.DATA_DIR), tell=(lambda _text: None) if is_quiet else narrator.note)
        except (DemoNotRunningError, SeedError, BrowserError) as error:
            raise CommandError(f"{error}\n{START}") from None
        except ValidationError as error:
            raise CommandError(f"the demo could not be prepared: {'; '.join(error.messages)}") from None
        except (httpx2.HTTPError, OperationalError) as error:
            raise CommandError(f"a part of the installation does not answer: {error}\n{START}") from None

    def _play(self, world: World, narrator: Narrator) -> bool:
        try:
            return asyncio.run(Story(world, narrator).play())
        except (BrowserError, httpx2.HTTPError) as error:
            raise CommandError(f"the story stopped: {error}\nMore: manage.py doctor") from None
