"""Write a bundle for an auditor to verify elsewhere: events, proofs, keys, the checkpoint, and the verifier itself."""

from __future__ import annotations

import ast
import base64
import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from audit import merkle, notes, statements, verifier
from audit.leaves import COLUMNS
from audit.merkle import prove_inclusion
from audit.models import Checkpoint, RetentionStatement, Tree
from audit.notes import VerifierKey
from audit.proofs import StoredNodes, find_cosigned, get_cosigned_note, get_newest_checkpoint, prove_growth
from audit.services.retain import read_dropped
from audit.statements import Dropped
from audit.verification.blocks import BLOCK, SESSION, Task, read_leaves
from audit.verification.verify import get_server_parameters

_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_README = """\
The audit trail of {origin}, as it was sealed.

    python verify.py

needs Python 3.11 or newer and the package `cryptography`. The bundle can't vouch for itself: give `--key` the key that
you were told by other means, and `--checkpoint` a file of checkpoints that you kept.

events.jsonl    one event a line; the names of the array's elements are in manifest.json
proofs.jsonl    where this is a part of the log: for each event, the hashes from its leaf up to the root
checkpoint      the signed head of the tree: https://c2sp.org/tlog-checkpoint
keys            the keys that verify it: https://c2sp.org/signed-note
cosigned        where there are witnesses: the newest checkpoint that each has signed; give `--witness` its key
statements      of what was dropped as it is kept no longer: signed notes that name the leaves
"""


class ExportError(Exception):
    """There is nothing to export, or no place for it."""


@dataclass(frozen=True)
class Period:
    """From when to when events were recorded; a bound that is None is open."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None

    @property
    def is_everything(self) -> bool:
        return self.since is None and self.until is None

    def includes(self, microseconds: int) -> bool:
        moment = _EPOCH + dt.timedelta(microseconds=microseconds)
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


def export_tree(
    tree: Tree,
    folder: Path,
    *,
    keys: Sequence[VerifierKey],
    period: Period = Period(),
    progress: Callable[[int, int], None] = lambda done, size: None,
) -> int:
    """Write the bundle into a new folder. Returns how many events are in it. Raises ExportError."""
    checkpoint = get_newest_checkpoint(tree)
    if checkpoint is None:
        raise ExportError("nothing is sealed yet")
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ExportError(f"{folder} exists: name a new folder") from None
    dropped, _, _ = read_dropped(tree, keys)
    count = _write_events(tree, checkpoint, folder, period, dropped, progress)
    cosigned = find_cosigned(tree, checkpoint.size)
    manifest = {
        "format": 1,
        "origin": tree.origin,
        "size": checkpoint.size,
        "complete": period.is_everything,
        "count": count,
        "since": period.since,
        "until": period.until,
        "columns": COLUMNS,
        "cosigned": {found.size: _prove(tree, found, checkpoint) for found in cosigned},
    }
    _write(folder / "manifest.json", json.dumps(manifest, indent=2, default=str) + "\n")
    _write(folder / "checkpoint", checkpoint.note)
    _write(folder / "keys", "".join(f"{key}\n" for key in keys))
    if cosigned:
        _write(folder / "cosigned", "".join(get_cosigned_note(found) for found in cosigned))
    written = RetentionStatement.objects.filter(tree=tree).order_by("pk").values_list("note", flat=True)
    _write(folder / "statements", "".join(written))
    _write(folder / "verify.py", make_verifier())
    _write(folder / "README.txt", _README.format(origin=tree.origin))
    return count


def _prove(tree: Tree, cosigned: Checkpoint, head: Checkpoint) -> list[str]:
    hashes = prove_growth(tree, old=cosigned.size, new=head.size).hashes
    return [base64.b64encode(hash_).decode() for hash_ in hashes]


def make_verifier() -> str:
    """Return audit/verifier.py as one file, with what it needs of ours before it."""
    parts = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in (merkle, notes, statements, verifier)]
    docstring = ast.get_docstring(ast.parse(parts[-1]), clean=False)
    body = "\n\n".join(_strip(part) for part in parts)
    return f'"""{docstring}"""\n\nfrom __future__ import annotations\n\n{body}'


def _strip(source: str) -> str:
    """Take out the module's docstring and what it imports from our own modules."""
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_ours = isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("audit", "__future__")
        if is_docstring or is_ours:
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "".join(lines).strip() + "\n"


def _write_events(
    tree: Tree,
    checkpoint: Checkpoint,
    folder: Path,
    period: Period,
    dropped: Dropped,
    progress: Callable[[int, int], None],
) -> int:
    count, nodes = 0, StoredNodes(tree)
    with (folder / "events.jsonl").open("wb") as events, (folder / "proofs.jsonl").open("w") as proofs:
        for index, version, data, leaf in _read_events(tree, checkpoint.size, period, dropped, progress):
            if data is None:
                events.write(b'{"index": %d, "dropped": "%b"}\n' % (index, base64.b64encode(leaf)))
                continue
            events.write(b'{"index": %d, "version": %d, "event": %b}\n' % (index, version, data))
            if not period.is_everything:
                hashes = [base64.b64encode(hash_).decode() for hash_ in prove_inclusion(index, checkpoint.size, nodes)]
                proofs.write(json.dumps({"index": index, "hashes": hashes}) + "\n")
            count += 1
    if period.is_everything:
        (folder / "proofs.jsonl").unlink()
    return count


def _read_events(
    tree: Tree, size: int, period: Period, dropped: Dropped, progress: Callable[[int, int], None]
) -> Iterator[tuple[int, int, bytes | None, bytes]]:
    """Yield index, version, data and hash of the leaf.

    One that was dropped has no data, and is left out of a part. One that is gone otherwise is left out of all, which
    the verifier will say.
    """
    with psycopg.connect(**get_server_parameters(), autocommit=True) as server:
        server.execute(SESSION)
        for start in range(0, size, BLOCK):
            end = min(start + BLOCK, size)
            task = Task(tree.pk, start, end, dropped=dropped.within(start, end))
            for index, _key, version, leaf, moment, data in read_leaves(server, task):
                if moment is not None and period.includes(moment):
                    yield index, version, data, leaf
                elif moment is None and index in dropped and period.is_everything:
                    yield index, version, None, leaf
            progress(end, size)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
