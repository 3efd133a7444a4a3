"""How far verification came, kept in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from audit.merkle import Frontier
from audit.verification.verify import State


def read_state(path: Path, origin: str) -> State:
    """Return where to go on with this tree: from the start where the file doesn't know it, or can't be read."""
    kept: Any = _read(path).get(origin)
    try:
        return State(Frontier(kept["blocks"], tuple(map(bytes.fromhex, kept["nodes"]))), kept["newest"])
    except (TypeError, KeyError, ValueError):
        return State()


def write_state(path: Path, origin: str, state: State) -> None:
    """Replace the file at once: a crash leaves the former one."""
    nodes = [node.hex() for node in state.blocks.nodes]
    known = {**_read(path), origin: {"blocks": state.blocks.size, "nodes": nodes, "newest": state.newest}}
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(known, indent=2) + "\n")
    scratch.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
