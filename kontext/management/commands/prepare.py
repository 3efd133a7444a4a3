from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command
from django.db import OperationalError
from django.urls import reverse

from orgs.services.create_first_administrator import has_administrator, issue_setup_token
from orgs.services.rotate_signing_keys import get_or_create_active_signing_key
from orgs.vault.errors import VaultError


class Command(BaseCommand):
    """Run it after each upgrade, before the new processes start; `up` does so itself. Running it again is harmless."""

    help = (
        "Migrate the database, make the keys that are missing, collect the static files; while there is no "
        "administrator, print a link that creates the first one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        try:
            call_command("migrate", interactive=False, verbosity=1, stdout=self.stderr)
            get_or_create_active_signing_key()
        except OperationalError as error:
            problem = str(error).strip()
            raise CommandError(f"the database can't be reached: {problem}\nSet DATABASE_URL, or start it.") from None
        except VaultError as error:
            raise CommandError(str(error)) from None
        call_command("collectstatic", interactive=False, verbosity=0)
        setup_path = None if has_administrator() else reverse("orgs:setup", args=[issue_setup_token()])
        if options["json"]:
            self.stdout.write(json.dumps({"setup_path": setup_path}))
        else:
            self._say(setup_path)

    def _say(self, setup_path: str | None) -> None:
        self.stdout.write("The database is migrated, keys are in place, static files are collected.")
        if setup_path is not None:
            self.stdout.write(f"Create the first administrator within a day: {settings.PUBLIC_URL}{setup_path}")
