"""Networks: from where a client calls, as far as limits and counts are kept apart by it."""

from __future__ import annotations

import ipaddress


def network_of(client: str) -> str:
    """Return the network of a client's address: one address of IPv4, the 64 bits of IPv6 that one customer has.

    What is no address (a socket of the file system, a test) is a network of its own.
    """
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
