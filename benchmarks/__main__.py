"""Every benchmark that `make bench` runs, one after the other."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import decisions, gateway

if __name__ == "__main__":
    gateway.main()
    decisions.main()
    # A process of its own: the former ones have told Django of another database.
    subprocess.run([sys.executable, "-m", "benchmarks.sealing"], check=True)
