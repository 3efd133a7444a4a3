"""Every benchmark that `make bench` runs, one after the other."""

from __future__ import annotations

from benchmarks import decisions, gateway

if __name__ == "__main__":
    gateway.main()
    decisions.main()
