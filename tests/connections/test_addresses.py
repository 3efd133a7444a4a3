from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.addresses import is_address_allowed

PUBLIC = ["1.1.1.1", "93.184.215.14", "172.32.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = ["127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"]
NEVER = ["169.254.169.254", "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"]
NEVER += ["::", "fe80::1", "fe80::1%eth0", "ff02::1", "2001:db8::1", "2002:7f00:1::", "fd00:ec2::254", "2001::1"]
DISGUISED = ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1"]
NOT_AN_ADDRESS = ["", "localhost", "0177.0.0.1", "2130706433", "127.1", "1.2.3.4.5"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_allowed(address: str) -> None:
    assert is_address_allowed(address)


@pytest.mark.parametrize("address", [*PRIVATE, *DISGUISED])
def test_private_address_is_allowed_only_by_the_operator(address: str) -> None:
    assert not is_address_allowed(address)
    assert is_address_allowed(address, private_networks=True)


@pytest.mark.parametrize("address", [*NEVER, *NOT_AN_ADDRESS, "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"])
def test_reserved_address_is_never_allowed(address: str) -> None:
    assert not is_address_allowed(address)
    assert not is_address_allowed(address, private_networks=True)


@given(address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_the_standard_library_calls_private_is_never_allowed(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not is_address_allowed(address)
