"""Which network addresses may be dialled. Pure: the gateway's own client asks here too, for each address it dials."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# Spelled out rather than left to `is_global`, whose meaning changed between Python releases (RFC 6890 registries).
_PRIVATE_V4 = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
_NEVER_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # "this host": connects to loopback on Linux
        "169.254.0.0/16",  # link-local: where clouds serve instance credentials
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PRIVATE_V6 = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
_GLOBAL_V6 = IPv6Network("2000::/3")
_NEVER_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address of anyone's choice inside
        "3fff::/20",
        "fd00:ec2::254/128",  # a cloud's instance credentials, inside the private range
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_address_allowed(address: str | IPv4Address | IPv6Address, *, private_networks: bool = False) -> bool:
    """Tell whether an address may be dialled.

    `private_networks` opens loopback, RFC 1918, shared (RFC 6598) and unique local ranges. Link-local, multicast and
    reserved ranges stay closed even then. What is not an address at all is not allowed.
    """
    try:
        parsed = ip_address(address.partition("%")[0] if isinstance(address, str) else address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_v4_allowed(parsed, private_networks)
    embedded = _get_embedded_v4(parsed)
    if embedded is not None:
        return _is_v4_allowed(embedded, private_networks)
    if any(parsed in network for network in _NEVER_V6):
        return False
    return parsed in _GLOBAL_V6 or (private_networks and any(parsed in network for network in _PRIVATE_V6))


def _is_v4_allowed(address: IPv4Address, private_networks: bool) -> bool:
    if any(address in network for network in _NEVER_V4):
        return False
    return private_networks or not any(address in network for network in _PRIVATE_V4)


def _get_embedded_v4(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None
