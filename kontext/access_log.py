"""Keeps what is a secret in an address out of granian's access log (`--log-config kontext/access_log.json`)."""

from __future__ import annotations

import logging
import re
from pathlib import Path

CONFIGURATION = Path(__file__).with_suffix(".json")
# Links that let whoever holds them in: to become administrator, to connect an account.
_SECRET = re.compile(r"\A/(setup|connect)/[^/]+")


class HideTokens(logging.Filter):
    """Granian hands its format a dictionary with the request's path, without the query."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict) and "path" in record.args:
            record.args = {**record.args, "path": _SECRET.sub(r"/\1/…", str(record.args["path"]))}
        return True
