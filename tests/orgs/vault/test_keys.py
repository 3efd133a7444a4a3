from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from orgs import vault
from orgs.models import DataKey, Organization
from orgs.vault.box import get_key_id
from orgs.vault.errors import VaultError
from orgs.vault.keys import make_data_key


@pytest.fixture(autouse=True)
def fresh_memory() -> None:
    vault.forget_keys()


@pytest.fixture
def acme() -> Organization:
    return Organization.objects.create(slug="acme", name="Acme Corp")


@pytest.fixture
def globex() -> Organization:
    return Organization.objects.create(slug="globex", name="Globex")


@pytest.mark.django_db
def test_encrypt_makes_one_data_key_per_organization(acme: Organization, globex: Organization) -> None:
    sealed = [vault.encrypt(organization.pk, b"s", associated_data=b"r") for organization in (acme, acme, globex)]
    assert get_key_id(sealed[0]) == get_key_id(sealed[1]) != get_key_id(sealed[2])
    assert DataKey.objects.count() == 2
    assert DataKey.objects.get(organization=acme).root_key_id.startswith("local:")


@pytest.mark.django_db
def test_decrypt_for_another_organization_fails(acme: Organization, globex: Organization) -> None:
    sealed = vault.encrypt(acme.pk, b"secret", associated_data=b"row")
    assert vault.decrypt(acme.pk, sealed, associated_data=b"row") == b"secret"
    for other in (globex.pk, None):
        with pytest.raises(VaultError):
            vault.decrypt(other, sealed, associated_data=b"row")


@pytest.mark.django_db
def test_decrypt_with_a_data_key_moved_between_organizations_fails(acme: Organization, globex: Organization) -> None:
    sealed = vault.encrypt(acme.pk, b"secret", associated_data=b"row")
    DataKey.objects.filter(organization=acme).update(organization=globex)
    with pytest.raises(VaultError):
        vault.decrypt(globex.pk, sealed, associated_data=b"row")


@pytest.mark.django_db
def test_encrypt_after_rotation_uses_the_new_key_and_opens_the_old(acme: Organization) -> None:
    old = vault.encrypt(acme.pk, b"old", associated_data=b"row")
    make_data_key(acme.pk, version=2).save()
    new = vault.encrypt(acme.pk, b"new", associated_data=b"row")
    assert get_key_id(old) != get_key_id(new)
    assert vault.decrypt(acme.pk, old, associated_data=b"row") == b"old"
    assert vault.decrypt(acme.pk, new, associated_data=b"row") == b"new"


@pytest.mark.django_db(transaction=True)
def test_encrypt_in_a_transaction_that_is_rolled_back_leaves_no_key_in_memory(acme: Organization) -> None:
    with transaction.atomic():
        vault.encrypt(acme.pk, b"lost", associated_data=b"row")
        transaction.set_rollback(True)
    assert not DataKey.objects.exists()
    sealed = vault.encrypt(acme.pk, b"kept", associated_data=b"row")
    vault.forget_keys()
    assert vault.decrypt(acme.pk, sealed, associated_data=b"row") == b"kept"


@pytest.mark.django_db(transaction=True)
def test_encrypt_by_many_at_once_makes_one_data_key(acme: Organization) -> None:
    barrier = threading.Barrier(6)

    def encrypt(_: int) -> bytes:
        barrier.wait()
        try:
            return vault.encrypt(acme.pk, b"s", associated_data=b"r")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        sealed = list(pool.map(encrypt, range(6)))
    assert len({get_key_id(one) for one in sealed}) == DataKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_decrypt_again_reads_no_database(acme: Organization, django_assert_num_queries: object) -> None:
    sealed = vault.encrypt(acme.pk, b"s", associated_data=b"r")
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert vault.decrypt(acme.pk, sealed, associated_data=b"r") == b"s"
        vault.encrypt(acme.pk, b"t", associated_data=b"r")


@pytest.mark.django_db
def test_hold_sealed_opens_without_the_database_and_only_what_belongs_there(
    acme: Organization, globex: Organization, django_assert_num_queries: Callable[[int], AbstractContextManager[None]]
) -> None:
    sealed = vault.encrypt(acme.pk, b"secret", associated_data=b"row 1")
    held = vault.hold_sealed(acme.pk, sealed, associated_data=b"row 1")
    vault.forget_keys()
    with django_assert_num_queries(0):
        assert held.open() == b"secret"
    assert "secret" not in repr(held)
    with pytest.raises(VaultError):
        vault.hold_sealed(acme.pk, sealed, associated_data=b"row 2").open()
    with pytest.raises(VaultError):
        vault.hold_sealed(globex.pk, sealed, associated_data=b"row 1")


@pytest.mark.django_db
def test_decrypt_after_the_root_key_changed_says_what_to_do(acme: Organization, settings: Settings) -> None:
    sealed = vault.encrypt(acme.pk, b"s", associated_data=b"r")
    settings.ROOT_KEY = base64.b64encode(b"z" * 32).decode()
    vault.forget_keys()
    with pytest.raises(VaultError, match="restore the root key"):
        vault.decrypt(acme.pk, sealed, associated_data=b"r")


@pytest.mark.django_db
def test_derive_key_is_stable_and_separate(acme: Organization, globex: Organization) -> None:
    keys = [vault.derive_key(acme.pk, "a"), vault.derive_key(acme.pk, "b"), vault.derive_key(globex.pk, "a")]
    assert len(set(keys)) == 3
    assert vault.derive_key(acme.pk, "a") == keys[0]
    assert all(len(key) == 32 for key in keys)
