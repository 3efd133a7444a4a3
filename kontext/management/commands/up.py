from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from rich.console import Console

from kontext.display import Display, JsonDisplay, TerminalDisplay
from kontext.embedded.errors import EmbeddedServerError
from kontext.embedded.server import make_data_folder
from kontext.exit_codes import ExitCode
from kontext.supervisor.installation import Wishes, plan_installation, write_environment_file
from kontext.supervisor.lock import AlreadyRunningError, FolderLock, lock_folder
from kontext.supervisor.ports import PortTakenError
from kontext.supervisor.supervisor import ChildFailedError
from kontext.up import describe_running, serve


class Command(BaseCommand):
    """Exit codes: 0 stopped on request, 1 something would not start, 3 already running here, 4 a port is taken."""

    help = (
        "Start everything: PostgreSQL and Valkey (unless DATABASE_URL and REDIS_URL name others), web, gateway, "
        "worker and sealer. What dies is started again; Ctrl-C stops all of it."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="with a demo organization, its peers, and the story")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=_port, help="of the portal, admin and API (default: 8000, or a free one)")
        parser.add_argument("--gateway-port", type=_port, help="of the gateway (default: 8001, or a free one)")
        parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        wishes = Wishes(options["host"], options["port"], options["gateway_port"], options["demo"])
        display: Display = JsonDisplay(sys.stdout)
        if not options["json"]:
            display = TerminalDisplay(Console(no_color=True if options["no_color"] else None))
        try:
            make_data_folder(settings.DATA_DIR)
            with lock_folder(settings.DATA_DIR) as lock:
                self._serve(wishes, lock, display, as_json=options["json"])
        except AlreadyRunningError as error:
            raise CommandError(_explain_holder(error), returncode=ExitCode.ALREADY_RUNNING) from None
        except PortTakenError as error:
            raise CommandError(f"{error} (--port, --gateway-port)", returncode=ExitCode.PORT_TAKEN) from None
        except ChildFailedError as error:
            raise CommandError(f"{error}\n{error.log_tail}\nMore: manage.py doctor") from None
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"the data folder {settings.DATA_DIR} can't be used: {error}") from None

    def _serve(self, wishes: Wishes, lock: FolderLock, display: Display, *, as_json: bool) -> None:
        installation = plan_installation(settings.DATA_DIR, wishes, os.environ)
        write_environment_file(installation)
        lock.write_down(describe_running(installation))
        story = ["demo", "--json"] if as_json else ["demo"]
        serve(installation, given=os.environ, display=display, story=story)


def _explain_holder(error: AlreadyRunningError) -> str:
    where = f" at {error.holder['public_url']}" if "public_url" in error.holder else ""
    process = error.holder.get("pid", "unknown")
    return (
        f"{error}{where} (process {process}). Stop that one with Ctrl-C or `kill {process}`, "
        "or set KONTEXT_DATA_DIR to another folder."
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ArgumentTypeError(f"{text} is no port: choose 1 to 65535")
    return int(text)
