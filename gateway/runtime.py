"""What a process of the gateway lives on besides the requests: made once, started with the event loop."""

from __future__ import annotations

from gateway.approvals import Approvals
from gateway.audit_log import AuditLog
from gateway.authentication import Authenticator
from gateway.credentials import Credentials
from gateway.invitations import Invitations
from gateway.limits import Limits
from gateway.payloads import Payloads
from gateway.snapshot import Snapshots
from gateway.snapshot.connections import ConnectionCopies
from gateway.snapshot.listener import Listener
from gateway.threads import Threads

# Reading is short; a renewal may wait for a slow integration, and must not keep the others from reading.
_READING_THREADS = 2
_RENEWING_THREADS = 16
# Calls that the rules ask about wait for each other here, and for nobody else.
_APPROVING_THREADS = 4
_COUNTING_THREADS = 2
_SEALING_THREADS = 2


class Runtime:
    """Made on the running event loop. It starts without a database, too: calls are refused until there is one."""

    def __init__(self) -> None:
        self._reading = Threads("reading", _READING_THREADS)
        self._renewing = Threads("renewing", _RENEWING_THREADS)
        self._approving = Threads("approving", _APPROVING_THREADS)
        self._listener = Listener()
        self.snapshots = Snapshots(self._listener, self._reading)
        self.authenticator = Authenticator(self.snapshots)
        self._counting = Threads("counting", _COUNTING_THREADS)
        self.limits = Limits(self._counting)
        self._sealing = Threads("sealing", _SEALING_THREADS)
        self.payloads = Payloads(self._sealing)
        self.audit_log = AuditLog()
        self.approvals = Approvals(self._approving)
        self.invitations = Invitations(self._renewing)
        self.credentials = Credentials(ConnectionCopies(self._listener, self._reading), self._renewing)

    async def start(self) -> None:
        self._listener.start()
        await self.audit_log.start()

    async def stop(self) -> None:
        """Finish what was begun, then let go of the database."""
        await self.audit_log.stop()
        await self._listener.stop()
        await self._reading.stop()
        await self._renewing.stop()
        await self._approving.stop()
        await self._counting.stop()
        await self._sealing.stop()

    async def check(self) -> None:
        """Raise UnavailableError if calls can't be served now, because nothing is heard from the database."""
        await self.snapshots.ensure_heard()
