"""Runs `manage.py check --deploy` with exactly the production settings that docs/configuration.md gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECK = f"{sys.executable} manage.py check --deploy --fail-level INFO"


def documented_settings() -> str:
    """Return the shell commands under the heading `Production`."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    found = re.search(r"## Production\n.*?```sh\n(.*?)```", text, re.DOTALL)
    assert found is not None, "docs/configuration.md has lost its production settings"
    return found[1]


def run_check(*, change: str = "") -> subprocess.CompletedProcess[str]:
    """Run the check in a shell with nothing in its environment but the documented settings, then `change`."""
    return subprocess.run(
        ["/bin/sh", "-ec", f"{documented_settings()}\n{change}\n{CHECK}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "KONTEXT_DATA_DIR": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    done = run_check()
    print(done.stdout + done.stderr, end="")
    sys.exit(done.returncode)
