from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgs.vault.box import Key, get_key_id, open_sealed, seal
from orgs.vault.errors import VaultError

KEY = Key(uuid4(), b"k" * 32)


@given(plaintext=st.binary(max_size=300), associated_data=st.binary(max_size=60))
def test_open_sealed_returns_what_was_sealed(plaintext: bytes, associated_data: bytes) -> None:
    assert open_sealed(KEY, seal(KEY, plaintext, associated_data), associated_data) == plaintext


@given(position=st.integers(min_value=0, max_value=50), flip=st.integers(min_value=1, max_value=255))
def test_open_sealed_with_any_changed_byte_fails(position: int, flip: int) -> None:
    sealed = bytearray(seal(KEY, b"secret", b"row 1"))
    sealed[position] ^= flip
    with pytest.raises(VaultError):
        open_sealed(KEY, bytes(sealed), b"row 1")


def test_open_sealed_for_another_record_fails() -> None:
    with pytest.raises(VaultError, match="belongs to another record"):
        open_sealed(KEY, seal(KEY, b"secret", b"row 1"), b"row 2")


def test_open_sealed_with_another_key_fails_even_under_the_same_id() -> None:
    with pytest.raises(VaultError):
        open_sealed(Key(KEY.id, b"x" * 32), seal(KEY, b"secret", b"row"), b"row")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" * 44, b"\x02" + bytes(60)])
def test_get_key_id_of_something_else_fails(sealed: bytes) -> None:
    with pytest.raises(VaultError):
        get_key_id(sealed)


def test_seal_twice_never_gives_the_same_ciphertext() -> None:
    assert seal(KEY, b"secret", b"row") != seal(KEY, b"secret", b"row")


def test_derive_depends_on_key_and_purpose() -> None:
    other = Key(KEY.id, b"x" * 32)
    derived = {KEY.derive("audit"), KEY.derive("session"), other.derive("audit")}
    assert len(derived) == 3
    assert KEY.derive("audit") == Key(uuid4(), b"k" * 32).derive("audit")


def test_repr_shows_no_key_material() -> None:
    assert "kkkk" not in repr(KEY)


def test_key_of_wrong_length_is_refused() -> None:
    with pytest.raises(VaultError):
        Key(uuid4(), b"short")
