"""Every benchmark, one after the other: `make bench`."""

from __future__ import annotations

from benchmarks import decisions, gateway

if __name__ == "__main__":
    decisions.main()
    gateway.main()
