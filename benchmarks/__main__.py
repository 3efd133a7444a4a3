"""Every benchmark that `make bench` runs, one after the other.

Each in a process of its own, since most start servers that Django then knows. Making a million past calls takes
minutes, so fewer are replayed here: `python -m benchmarks.replay` does it whole.
"""

from __future__ import annotations

import subprocess
import sys

_BENCHMARKS = (("gateway",), ("decisions",), ("live_rules",), ("replay", "--calls", "200000"), ("sealing",))

if __name__ == "__main__":
    for name, *options in _BENCHMARKS:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=True)
