"""Every benchmark, one after the other, each in a process of its own: `make bench`."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("decisions", "audit_log", "gateway")

if __name__ == "__main__":
    for name in BENCHMARKS:
        print(f"\n{name}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
