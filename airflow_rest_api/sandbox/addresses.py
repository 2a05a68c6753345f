"""Addresses: which of them a test of a connection may dial.

Private networks are allowed, since that is where warehouses are. What is denied lets a caller reach what only this
machine should: itself, what the network tells a machine about itself (the metadata of clouds, with their
credentials), and Airflow's own database and broker.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK, LINK_LOCAL, METADATA = "a loopback address", "a link-local address", "a metadata service"
SPECIAL, OWN = "no address of a single machine", "Airflow's own database or broker"
THIS_MACHINE = "an address of this machine"
# Where clouds answer their machines beside 169.254.169.254: Amazon, Alibaba, Azure, Google, and Oracle's old one.
_METADATA = tuple(
    map(
        ipaddress.ip_network,
        ("fd00:ec2::/32", "100.100.100.200/32", "168.63.129.16/32", "fd20:ce::254/128", "192.0.0.0/24"),
    )
)
# An IPv4 address within an IPv6 one, which a gateway takes out again (RFC 6052).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_WITH_PORT = re.compile(r"(?:\[(?P<inner>[^\]]+)\]|(?P<outer>[^:\[\]]+)):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Opening:
    """What an administrator allows although it is denied to others: a host's name or a network, at one port or any."""

    name: str | None
    network: Network | None
    port: int | None

    @classmethod
    def read(cls, text: str) -> Opening:
        """Read `name`, `address`, `network/bits` or one of them with `:port`; raises `ValueError`."""
        found = _WITH_PORT.fullmatch(text)
        port = int(found["port"]) if found else None
        host = (found["inner"] or found["outer"]) if found else text.strip("[]")
        if port is not None and not 0 < port < 65536:
            raise ValueError(text)
        try:
            return cls(None, ipaddress.ip_network(host), port)
        except ValueError:
            if "/" in host or not _NAME.fullmatch(host) or _is_number(host):
                raise
            return cls(host.lower(), None, port)

    def pinned(self) -> list[tuple[str, int | None]]:
        """Return the networks that this opens; a name is resolved now, and stands for what it stood for then."""
        if self.network is not None:
            return [(str(self.network), self.port)]
        return [(str(address), self.port) for address in resolved(self.name or "")]


@dataclass(frozen=True)
class Policy:
    """What may be dialled: ``openings`` are networks with ports, None for any; ``own`` are Airflow's own addresses.

    ``name_servers`` may be asked for names although they are denied for everything else.
    """

    openings: tuple[tuple[Network, int | None], ...] = ()
    own: frozenset[Address] = frozenset()
    name_servers: frozenset[Address] = frozenset()

    @classmethod
    def of(cls, openings: Iterable[Sequence[Any]], own: Iterable[str]) -> Policy:
        """Make the policy of what was sent as JSON, with the name servers of this machine."""
        return cls(
            tuple((ipaddress.ip_network(network), port) for network, port in openings),
            frozenset(map(ipaddress.ip_address, own)),
            frozenset(_name_servers()),
        )

    def fault(self, address: Address, port: int, *, asks_name: bool = False) -> str | None:
        """Return why an address must not be dialled, None for one that may; port 0 stands for any of its ports."""
        plain = embedded(address)
        # An opening that is written as the longer form of an address opens the shorter one.
        if any(_opens(opening, one, port) for opening in self.openings for one in (plain, address)):
            return None
        if asks_name and port == 53 and plain in self.name_servers:
            return None
        return _kind(plain) or (OWN if plain in self.own else THIS_MACHINE if _is_mine(plain) else None)


def resolved(host: str) -> frozenset[Address]:
    """Return the addresses that a host stands for in any spelling, none where nobody knows it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        return frozenset()
    return frozenset(embedded(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found)


def embedded(address: Address) -> Address:
    """Return the address that is dialled in the end where one contains another."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    # IPv4-compatible ones are long gone, but for kernels that still know them.
    old = int(address) if 1 < int(address) < 1 << 32 else None
    return inner or (ipaddress.IPv4Address(old) if old else address)


def _opens(opening: tuple[Network, int | None], address: Address, port: int) -> bool:
    network, only = opening
    return address in network and (only is None or port in (only, 0))


def _kind(address: Address) -> str | None:
    # Of which all bits may mean "this machine" (RFC 1122, 3.2.1.3).
    if address.is_loopback or address.is_unspecified or (int(address) >> 24 == 0 and address.version == 4):
        return LOOPBACK
    if any(address in network for network in _METADATA if network.version == address.version):
        return METADATA
    if address.is_link_local:
        return LINK_LOCAL
    return SPECIAL if address.is_multicast or (address.version == 4 and address.is_reserved) else None


def _is_mine(address: Address) -> bool:
    """Tell whether an address is this machine's own: the kernel would dial it from itself."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        # No packet leaves for this: the kernel only looks for the way.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == address
    except OSError:
        return False


def _is_number(host: str) -> bool:
    """Tell whether a host is a number in one of the old spellings, which is a slip in a list of names."""
    return all(re.fullmatch(r"0[xX][0-9a-fA-F]*|\d+", part) for part in host.split("."))


def _name_servers() -> Iterable[Address]:
    try:
        text = Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace")

    except OSError:
        return
    for words in map(str.split, text.splitlines()):
        if len(words) > 1 and words[0] == "nameserver":
            try:
                yield embedded(ipaddress.ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue
