"""Every benchmark that `make bench` runs, one after the other.

Each in a process of its own, since most start servers that Django then knows. Making a million past calls, or ten
million events, takes long, so there are fewer here: `benchmarks.replay` and `benchmarks.explorer` alone do it whole.
"""

from __future__ import annotations

import subprocess
import sys

_BENCHMARKS = (
    ("gateway",),
    ("decisions",),
    ("live_rules",),
    ("replay", "--calls", "200000"),
    ("sealing",),
    ("explorer", "--events", "500000"),
)

if __name__ == "__main__":
    for name, *options in _BENCHMARKS:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=True)
