"""A bundle is verified by its own verifier, in a process that has `cryptography` and nothing of ours."""

from __future__ import annotations

import ast
import datetime as dt
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cryptography
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.export import make_verifier
from audit.leaves import hash_event
from audit.merkle import Frontier
from audit.models import AuditEvent, Cosignature, Payload, Tree
from audit.notes import COSIGNATURE, Checkpoint, VerifierKey, cosign, parse_checkpoint, read_notes, sign_note
from audit.services.seal import seal_events
from audit.verifier import PAYLOADS
from orgs.models import Organization, User
from orgs.services.checkpoint_keys import get_verifier_keys, sign_checkpoint
from orgs.services.publish_checkpoints import get_checkpoint_file, publish_checkpoints
from tests.audit.trees import record
from tests.factories import make_application, make_call, make_capability, make_integration, make_member

pytestmark = pytest.mark.django_db(transaction=True)
COUNT = 40
Change = Callable[[Path], None]


@pytest.fixture
def acme(settings: Any, tmp_path: Path) -> Organization:
    settings.CHECKPOINT_DIR = tmp_path / "checkpoints"
    acme = Organization.objects.create(slug="acme", name="Acme")
    for _ in range(2):
        record(COUNT // 2, organization_id=acme.pk, name="Zoë\\\n}")
        seal_events(sign=sign_checkpoint)
        publish_checkpoints()
    return acme


@pytest.fixture
def bundle(acme: Organization, tmp_path: Path) -> Path:
    return export(tmp_path / "bundle")


@pytest.fixture
def part(acme: Organization, tmp_path: Path) -> Path:
    middle = AuditEvent.objects.order_by("id")[COUNT // 4]
    return export(tmp_path / "part", "--since", middle.recorded_at.isoformat())


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cryptography`, what it is made of, and nothing else."""
    folder = tmp_path_factory.mktemp("libraries")
    installed = Path(cryptography.__file__).parents[1]
    for found in [installed / "cryptography", installed / "cffi", *installed.glob("_cffi_backend*")]:
        folder.joinpath(found.name).symlink_to(found)
    return folder


def export(folder: Path, *options: str) -> Path:
    call_command("audit", "export", "--organization", "acme", "--output", str(folder), *options, stdout=io.StringIO())
    return folder


def run(bundle: Path, libraries: Path, *arguments: str) -> tuple[int, str]:
    program = "import runpy, sys; path = sys.argv.pop(1); sys.path.append(sys.argv.pop(1)); sys.argv[0] = path; "
    program += "runpy.run_path(path, run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", program, str(bundle / "verify.py"), str(libraries), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stdout + result.stderr


def own_key(acme: Organization) -> str:
    return str(get_verifier_keys(Tree.objects.get(organization_id=acme.pk).origin)[0])


def test_complete_bundle_verifies_by_itself(bundle: Path, libraries: Path, acme: Organization) -> None:
    code, said = run(bundle, libraries)
    assert code == 0, said
    assert f"{COUNT} events, all {COUNT} of" in said
    assert "compare it with one from elsewhere" in said
    kept = get_checkpoint_file(Tree.objects.get(organization_id=acme.pk))
    code, said = run(bundle, libraries, "--key", own_key(acme), "--checkpoint", str(kept))
    assert code == 0, said
    assert "the key you gave" in said


def test_part_of_the_log_verifies_by_its_proofs(part: Path, libraries: Path) -> None:
    code, said = run(part, libraries)
    assert code == 0, said
    lines = (part / "events.jsonl").read_text().splitlines()
    assert 0 < len(lines) < COUNT
    assert f"{len(lines)} events, part of the {COUNT} of" in said


def test_bundle_reads_as_json_and_is_recorded(bundle: Path, acme: Organization) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    events = [json.loads(line) for line in (bundle / "events.jsonl").read_text().splitlines()]
    first = dict(zip(manifest["columns"]["1"], events[0]["event"], strict=True))
    assert first["details"]["name"] == "Zoë\\\n}0"
    assert {event["event"][1] for event in events} == {str(acme.pk)}
    recorded = AuditEvent.objects.get(type="audit.exported")
    assert (recorded.organization_id, recorded.details["events"]) == (acme.pk, COUNT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [lines[0].replace(b'"person.', b'"Person.'), *lines[1:]], "not those that were sealed"),
        (lambda lines: [*lines[:5], *lines[6:]], "event 5 is missing"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "event 0 is missing"),
        (lambda lines: lines[:-1], "the newest events are missing"),
        (lambda lines: [*lines, lines[-1]], "is missing"),
        (lambda lines: [*lines[:3], b"{}\n", *lines[3:]], "line 4 of events.jsonl is no event"),
        (lambda lines: [lines[0].replace(b'"version": 1', b'"version": 2'), *lines[1:]], "not those that were sealed"),
    ],
)
def test_changed_events_are_refused(bundle: Path, libraries: Path, change: Any, said: str) -> None:
    path = bundle / "events.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    code, output = run(bundle, libraries)
    assert (code, said in output) == (1, True), output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [*lines[:5], lines[5].replace(b'"person.', b'"Person.'), *lines[6:]], "is not what was sealed"),
        (lambda lines: [*lines[:5], *lines[6:]], "has no proof"),
        (lambda lines: lines[:-1], "there is a proof for it"),
    ],
)
def test_changed_part_is_refused(part: Path, libraries: Path, change: Any, said: str) -> None:
    path = part / "events.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    code, output = run(part, libraries)
    assert (code, said in output) == (1, True), output


def test_bundle_that_was_made_anew_is_refused_for_who_knows_better(
    bundle: Path, libraries: Path, acme: Organization, tmp_path: Path
) -> None:
    """Whoever changes events, root, key and signature alike is found by the key, or by a checkpoint kept before."""
    right = own_key(acme)
    forger = Ed25519PrivateKey.generate()
    tree = Tree.objects.get(organization_id=acme.pk)
    path = bundle / "events.jsonl"
    path.write_bytes(path.read_bytes().replace(b"person.signed_in", b"person.signed_on"))
    root = _compute_root(path)
    (bundle / "checkpoint").write_text(sign_note(str(Checkpoint(tree.origin, COUNT, root)), tree.origin, [forger]))
    forged = str(VerifierKey(tree.origin, forger.public_key().public_bytes_raw()))
    (bundle / "keys").write_text(forged + "\n")
    assert run(bundle, libraries)[0] == 0  # it agrees with itself
    code, said = run(bundle, libraries, "--key", right)
    assert (code, "none of the keys that are trusted" in said) == (1, True)
    kept = get_checkpoint_file(tree)
    assert run(bundle, libraries, "--key", right, "--key", forged, "--checkpoint", str(kept))[0] == 1


@pytest.mark.parametrize("name", ["events.jsonl", "checkpoint", "keys", "manifest.json"])
def test_bundle_without_a_file_is_refused(bundle: Path, libraries: Path, name: str) -> None:
    (bundle / name).unlink()
    assert run(bundle, libraries)[0] == 1


def test_export_to_a_folder_that_exists_changes_nothing(bundle: Path) -> None:
    before = (bundle / "events.jsonl").read_bytes()
    with pytest.raises(CommandError, match="exists"):
        export(bundle)
    assert (bundle / "events.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [((), "give --organization"), (("--output", "x", "--since", "yesterday"), "is no time")],
)
def test_export_with_a_wrong_command_line_says_so(acme: Organization, options: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("audit", "export", "--organization", "acme", *options)


def test_export_of_one_organization_has_nothing_of_another(acme: Organization, tmp_path: Path) -> None:
    globex = Organization.objects.create(slug="globex", name="Globex")
    with pytest.raises(CommandError, match="nothing of this organization"):
        call_command("audit", "export", "--organization", "globex", "--output", str(tmp_path / "globex"))
    record(2, organization_id=globex.pk, name="mallory")
    seal_events(sign=sign_checkpoint)
    folder = tmp_path / "globex"
    call_command("audit", "export", "--organization", "globex", "--output", str(folder), stdout=io.StringIO())
    text = "".join(path.read_text() for path in folder.iterdir() if path.name != "verify.py")
    assert str(acme.pk) not in text
    assert "mallory0" in text


def test_verifier_defines_each_name_once() -> None:
    """Its parts were modules of their own: none may hide what another one needs."""
    tree = ast.parse(make_verifier())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    names += [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert len(names) == len(set(names))
    imported = set(re.findall(r"^(?:from|import) (\w+)", make_verifier(), re.MULTILINE))
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_period_is_open_where_it_is_not_given(acme: Organization, tmp_path: Path) -> None:
    later = (timezone.now() + dt.timedelta(days=1)).isoformat()
    assert len((export(tmp_path / "a", "--until", later) / "events.jsonl").read_bytes().splitlines()) == COUNT
    assert (export(tmp_path / "b", "--since", later) / "events.jsonl").read_bytes() == b""


def _compute_root(path: Path) -> bytes:
    from audit.leaves import hash_event
    from audit.merkle import compute_root

    lines = path.read_bytes().splitlines()
    return compute_root([hash_event(line.partition(b'"event": ')[2][:-1]) for line in lines])


WITNESS_KEY = Ed25519PrivateKey.generate()
WITNESS = VerifierKey("witness.test/w", WITNESS_KEY.public_key().public_bytes_raw(), COSIGNATURE)
STRANGER = VerifierKey("witness.test/s", Ed25519PrivateKey.generate().public_key().public_bytes_raw(), COSIGNATURE)


def have_cosigned(acme: Organization, size: int, *, name: str = WITNESS.name) -> None:
    checkpoint = Tree.objects.get(organization_id=acme.pk).checkpoints.get(size=size)
    text = checkpoint.note.rpartition("\n\n")[0] + "\n"
    line = cosign(text, name, WITNESS_KEY, 1_790_000_000)
    Cosignature.objects.create(checkpoint=checkpoint, witness=name, line=line)


@pytest.mark.parametrize("options", [(), ("--since", "2020-01-01")], ids=["whole", "part"])
def test_bundle_carries_what_witnesses_signed(
    acme: Organization, libraries: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    have_cosigned(acme, COUNT // 2)
    bundle = export(tmp_path / "bundle", *options)
    code, said = run(bundle, libraries, "--witness", str(WITNESS))
    assert code == 0, said
    assert f"witness.test/w has cosigned the first {COUNT // 2} at 2026-09-21 14:13:20 UTC" in said
    code, said = run(bundle, libraries)
    assert code == 0, said
    assert "`--witness` checks one" in said
    code, said = run(bundle, libraries, "--witness", str(WITNESS), "--witness", str(STRANGER))
    assert (code, "witness.test/s has not cosigned this log" in said) == (1, True)


def test_bundle_has_the_newest_that_each_witness_signed(acme: Organization, libraries: Path, tmp_path: Path) -> None:
    have_cosigned(acme, COUNT // 2)
    have_cosigned(acme, COUNT)
    have_cosigned(acme, COUNT // 2, name="witness.test/other")
    bundle = export(tmp_path / "bundle")
    sizes = [parse_checkpoint(note).size for note in read_notes((bundle / "cosigned").read_text())]
    assert sizes == [COUNT // 2, COUNT]
    code, said = run(bundle, libraries, "--witness", str(WITNESS))
    assert (code, f"has cosigned the first {COUNT} at" in said) == (0, True), said


def test_bundle_of_another_history_than_the_cosigned_one_is_found(
    acme: Organization, libraries: Path, tmp_path: Path
) -> None:
    """Whoever has the log's key can sign what they like; what the witness signed stays what it was."""
    have_cosigned(acme, COUNT // 2)
    bundle = export(tmp_path / "bundle")
    lines = (bundle / "events.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"Zo", b"Za")
    (bundle / "events.jsonl").write_bytes(b"".join(lines))
    resign(bundle)
    key = (bundle / "keys").read_text().splitlines()[-1]
    assert run(bundle, libraries, "--key", key, "--key", own_key(acme))[0] == 0
    code, said = run(bundle, libraries, "--key", key, "--key", own_key(acme), "--witness", str(WITNESS))
    assert (code, "is not the beginning of this log" in said) == (1, True), said


def resign(bundle: Path) -> None:
    """Give the bundle a head that fits its events, signed with a new key."""
    frontier = Frontier()
    for line in (bundle / "events.jsonl").read_bytes().splitlines():
        data = line.partition(b'"event": ')[2][:-1]
        frontier = frontier.append([hash_event(data)])
    origin, key = (bundle / "checkpoint").read_text().splitlines()[0], Ed25519PrivateKey.generate()
    head = Checkpoint(origin, frontier.size, frontier.root())
    (bundle / "checkpoint").write_text(sign_note(str(head), origin, [key]))
    with (bundle / "keys").open("a") as file:
        file.write(f"{VerifierKey(origin, key.public_key().public_bytes_raw())}\n")


SECRET = "zq-only-for-alice"


@pytest.fixture
def kept(acme: Organization) -> User:
    """Alice, of two of whose calls the content was kept."""
    alice = make_member(acme, "Alice Adams")
    create_issue = make_capability(make_integration(acme))
    for number in range(2):
        content = {"arguments": {"title": f"{SECRET} {number} ü\0"}}
        make_call(make_application(acme), alice, create_issue, content=content)
    seal_events(sign=sign_checkpoint)
    return alice


def test_bundle_leaves_content_out(kept: User, tmp_path: Path) -> None:
    folder = export(tmp_path / "without")
    assert not (folder / PAYLOADS).exists()
    assert all(SECRET not in file.read_text() for file in folder.iterdir())
    assert AuditEvent.objects.get(type="audit.exported").details["payloads"] is None


def test_bundle_with_content_verifies_it_too(kept: User, tmp_path: Path, libraries: Path) -> None:
    folder = export(tmp_path / "with", "--with-payloads")
    lines = [json.loads(line) for line in (folder / PAYLOADS).read_text().splitlines()]
    assert [json.loads(line["payload"])["arguments"]["title"][:20] for line in lines] == [
        f"{SECRET} 0 ",
        f"{SECRET} 1 ",
    ]
    assert run(folder, libraries)[0] == 0
    assert AuditEvent.objects.get(type="audit.exported").details["payloads"] == 2

    (folder / PAYLOADS).write_text((folder / PAYLOADS).read_text().replace(f"{SECRET} 1", f"{SECRET} 7"))
    code, said = run(folder, libraries)
    assert (code, "line 2 of payloads.jsonl" in said) == (1, True)


def test_bundle_after_erasing_verifies_without_what_was_erased(kept: User, tmp_path: Path, libraries: Path) -> None:
    erase(kept)
    folder = export(tmp_path / "erased", "--with-payloads")
    assert (folder / PAYLOADS).read_text() == ""
    code, said = run(folder, libraries)
    assert code == 0, said


def test_verify_after_erasing_finds_everything_as_it_was_sealed(kept: User) -> None:
    output = io.StringIO()
    erase(kept)
    seal_events(sign=sign_checkpoint)
    call_command("audit", "verify", "--organization", "acme", "--jobs", "1", stdout=output)
    assert "events are as they were sealed" in output.getvalue()
    erased = AuditEvent.objects.get(type="payload.erased")
    assert (erased.user_name, erased.details["payloads"]) == ("manage.py audit erase", 2)


def test_erase_without_a_yes_changes_nothing(kept: User) -> None:
    with pytest.raises(CommandError, match="nothing was erased"):
        erase(kept, "--user", str(kept.pk))
    with pytest.raises(CommandError, match="no member"):
        erase(kept, "--user", "mallory@globex.test", "--yes")
    with pytest.raises(CommandError, match="--user"):
        erase(kept, "--yes")
    assert Payload.objects.count() == 2


def erase(person: User, *options: str) -> None:
    given = options or ("--user", person.email, "--yes")
    call_command("audit", "erase", "--organization", "acme", *given, stdout=io.StringIO())
