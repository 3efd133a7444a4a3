from __future__ import annotations

import os
import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management import BaseCommand

from audit.sealer import Sealer
from orgs.services.checkpoint_keys import sign_checkpoint


class Command(BaseCommand):
    """Runs until it is told to stop (SIGTERM, SIGINT), then exits with 0. Any number may run on one database."""

    help = "Seal audit events into their organization's Merkle tree, within a second, and sign what was sealed."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="seal what is there, then exit")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        sealer = Sealer(sign_checkpoint)
        if options["once"]:
            while sealer.turn():
                pass
            self.stdout.write(f"sealed: {sealer.sealed}")
            return
        stop = threading.Event()

        def note_stop(_signum: int, _frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, note_stop)
        signal.signal(signal.SIGINT, note_stop)
        if path := os.environ.get("KONTEXT_READY_FILE"):
            Path(path).write_text(str(os.getpid()))
        sealer.run(stop)
