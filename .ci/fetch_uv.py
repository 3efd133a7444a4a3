"""Put `uv` into a folder of the project: `python3 .ci/fetch_uv.py .uv` makes .uv/bin/uv.

Needs Python's standard library only. Distributions differ in what they leave out of it (Debian ships venv without
ensurepip, and forbids pip to install into the system), so there are three ways, tried in turn.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

INDEX = "https://pypi.org/simple/uv/"
TIMEOUT = 120


def main(folder: Path) -> None:
    ways: list[Callable[[Path], None]] = [with_venv, with_system_pip, without_pip]
    for way in ways:
        try:
            way(folder)
        except (OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
            print(f"uv: {way.__name__.replace('_', ' ')}: {error}", file=sys.stderr)
        else:
            return
    sys.exit("uv could not be fetched: install it as https://docs.astral.sh/uv/ says, and run make again")


def with_venv(folder: Path) -> None:
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv")


def with_system_pip(folder: Path) -> None:
    """Let the system's pip install into a virtual environment that has none (pip 22.3 and later)."""
    _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
    _run(sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet", "uv")


def without_pip(folder: Path) -> None:
    """Take the program out of the wheel, whose digest the index names."""
    wheel = _choose_wheel(_read(INDEX, accept="application/vnd.pypi.simple.v1+json"))
    content = _read(wheel["url"])
    if hashlib.sha256(content).hexdigest() != wheel["hashes"]["sha256"]:
        raise ValueError(f"{wheel['filename']} is not what the index says it is")
    target = folder / "bin" / "uv"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        target.write_bytes(archive.read(member))
    target.chmod(0o755)


def _choose_wheel(index: bytes) -> dict:
    """Return the newest release's wheel for this machine."""
    listing = json.loads(index)
    machine = platform.machine().lower()
    kind = {"linux": "musllinux" if _is_musl() else "manylinux", "darwin": "macosx"}.get(sys.platform, sys.platform)
    for version in sorted(listing["versions"], key=_version_key, reverse=True):
        for wheel in listing["files"]:
            name = wheel["filename"]
            if name.startswith(f"uv-{version}-") and kind in name and machine in name and not wheel.get("yanked"):
                return wheel
    raise LookupError(f"no wheel of uv for {sys.platform} on {machine}")


def _version_key(version: str) -> list:
    return [int(part) if part.isdigit() else -1 for part in version.split(".")]


def _is_musl() -> bool:
    return "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")


def _read(url: str, accept: str = "*/*") -> bytes:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return answer.read()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise subprocess.SubprocessError(lines[-1] if lines else f"exit code {done.returncode}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
