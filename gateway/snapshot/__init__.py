"""The organizations as this process knows them: read once, kept current, never served when that is in doubt."""

from gateway.snapshot.store import Snapshots

__all__ = ["Snapshots"]
