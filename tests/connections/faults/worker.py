"""`python -m tests.connections.faults.worker CONNECTION THREADS [min_seconds=…] [bad=…]`: threads that all want it.

Prints one line of JSON per thread. Its database is that of DATABASE_URL.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kontext.settings")


def main() -> None:
    django.setup()
    connection_id, count = UUID(sys.argv[1]), int(sys.argv[2])
    options = dict(argument.split("=") for argument in sys.argv[3:])
    start = threading.Barrier(count)
    lines: list[str] = []
    threads = [threading.Thread(target=lambda: lines.append(_get(connection_id, options, start))) for _ in range(count)]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(lines), flush=True)


def _get(connection_id: UUID, options: dict[str, str], start: threading.Barrier) -> str:
    from django.db import connection

    from connections.errors import ConnectionsError
    from connections.services.refresh import get_credential

    start.wait()
    try:
        credential = get_credential(
            connection_id=connection_id,
            min_seconds=float(options.get("min_seconds", 30)),
            known_bad_generation=int(options["bad"]) if "bad" in options else None,
            deadline=time.monotonic() + 20,
        )
        digest = hashlib.sha256(credential.headers["Authorization"].encode()).hexdigest()
        return json.dumps({"generation": credential.generation, "digest": digest})
    except ConnectionsError as error:
        return json.dumps({"error": type(error).__name__})
    finally:
        connection.close()


if __name__ == "__main__":
    main()
