"""What the operators' commands say to the shell; docs/configuration.md lists them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2  # argparse's own
    ALREADY_RUNNING = 3
    PORT_TAKEN = 4
