from __future__ import annotations

import base64
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from orgs import vault
from orgs.vault.errors import VaultError
from orgs.vault.root import LocalRootKey, get_root_key, read_or_create_key_file


def test_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "root.key"
    first = read_or_create_key_file(path)
    assert len(first) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_create_key_file(path) == first
    assert os.listdir(path.parent) == ["root.key"]


def test_key_file_made_by_many_processes_at_once_is_one_key(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        keys = set(pool.map(read_or_create_key_file, [path] * 12))
    assert keys == {read_or_create_key_file(path)}
    assert os.listdir(tmp_path) == ["root.key"]


@pytest.mark.parametrize("content", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_key_file_with_other_content_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "root.key"
    path.write_text(content)
    with pytest.raises(VaultError, match="32 random bytes"):
        read_or_create_key_file(path)
    assert path.read_text() == content


def test_wrap_by_another_root_key_says_so() -> None:
    wrapped = LocalRootKey(b"a" * 32).wrap(b"d" * 32, b"row")
    assert LocalRootKey(b"a" * 32).unwrap(wrapped, b"row") == b"d" * 32
    with pytest.raises(VaultError, match="another root key"):
        LocalRootKey(b"b" * 32).unwrap(wrapped, b"row")
    with pytest.raises(VaultError, match="another record"):
        LocalRootKey(b"a" * 32).unwrap(wrapped, b"other row")


def test_system_secret_needs_no_database_and_survives_a_restart(settings: Settings) -> None:
    settings.ROOT_KEY = base64.b64encode(b"r" * 32).decode()
    sealed = vault.encrypt(None, b"signing key", associated_data=b"kid 1")
    assert b"signing key" not in sealed
    assert vault.decrypt(None, memoryview(sealed), associated_data=b"kid 1") == b"signing key"
    with pytest.raises(VaultError):
        vault.decrypt(None, sealed, associated_data=b"kid 2")
    settings.ROOT_KEY = base64.b64encode(b"s" * 32).decode()
    with pytest.raises(VaultError):
        vault.decrypt(None, sealed, associated_data=b"kid 1")


def test_root_key_repr_shows_no_key_material() -> None:
    assert "aaaa" not in repr(LocalRootKey(b"a" * 32))


def test_get_root_key_with_an_unusable_setting_fails(settings: Settings) -> None:
    settings.ROOT_KEY = "too-short"
    with pytest.raises(VaultError, match="KONTEXT_ROOT_KEY"):
        get_root_key()
