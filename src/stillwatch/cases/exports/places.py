"""Where an alert may be sent: a URL parsed, resolved once, and refused if it leads to an internal address.

A webhook's URL could make this machine call anything that it can reach. So its host is resolved once, every
address must be public unless the owner's settings name the host, and the connection goes to exactly these
addresses: a later, different answer of the name server has no effect.
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from stillwatch.cases.exports import ExportError

PORTS = {
    "https": 443, "http": 80, "tls": 6514, "tcp": 601, "udp": 514,  # RFC 5425, 6587, 5426
    "smtps": 465, "smtp": 587,  # RFC 8314, 6409
}  # fmt: skip
LONGEST = 2_048
RESOLVING_S = 10.0
_PLAIN = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+")
# a public number, but the host of every machine in Azure
_AZURE_HOST = ipaddress.ip_address("168.63.129.16")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# not public by IANA's registries, whatever this version of Python knows of them
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "100.64.0.0/10", "198.18.0.0/15", "192.88.99.0/24", "64:ff9b:1::/48", "2001::/23",
         "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)  # fmt: skip

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class ReceiverAddress:
    """A receiver, before its name is resolved."""

    scheme: str
    host: str  # ASCII, lower case, no final dot
    port: int
    path: str  # with the query

    @property
    def at(self) -> str:
        """Return host and port, as in a Host header and an allow list."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def place(url: str, schemes: Collection[str]) -> ReceiverAddress:
    """Parse a URL. Raises: ExportError, without the URL's query and password in the message."""
    if len(url) > LONGEST or not _PLAIN.fullmatch(url):
        raise ExportError(f"a URL of {len(url)} characters with blanks or characters that no URL has")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as why:
        raise ExportError(f"a URL that cannot be read ({why})") from None
    if parts.scheme not in schemes:
        raise ExportError(f"{parts.scheme or 'no scheme'}: give {' or '.join(f'{s}://' for s in schemes)}")
    if "@" in parts.netloc:
        raise ExportError(f"{host}: a name or password in a URL ends up in logs; leave it out")
    if parts.fragment or not _HOST.fullmatch(host):
        raise ExportError(
            f"{host!a}: is no host, or the URL has a fragment; give {next(iter(schemes))}://HOST/PATH"
        )
    if port is not None and not 0 < port < 65_536:
        raise ExportError(f"{host}: port {port} is not one")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return ReceiverAddress(parts.scheme, host, port or PORTS[parts.scheme], path)


def is_allowed(where: ReceiverAddress, allow: Collection[str]) -> bool:
    """Return whether the owner names this host, with or without its port."""
    names = {entry.strip().lower().rstrip(".") for entry in allow}
    return bool(names & {where.at, where.host, f"{where.host}:{where.port}", f"[{where.host}]:{where.port}"})


def addresses(where: ReceiverAddress, allow: Collection[str], resolve: Resolve | None = None) -> list[str]:
    """Resolve a host once and return the only addresses to connect to.

    resolve: (host, port) -> addresses; default: the system's. Raises: ExportError if the host has none, or
    any of them is not public and the owner does not name the host.
    """
    resolved = _resolve_in_time(where, resolve or system_addresses)
    if not resolved:
        raise ExportError(f"{where.host}: has no address")
    if not is_allowed(where, allow):
        for address in resolved:
            if inside := inside_of(address):
                raise ExportError(
                    f"{where.host}: is at {address}, {inside}; nothing goes there unless the settings "
                    f"allow it "
                    f'(allow = ["{where.at}"])'
                )
    return resolved


def inside_of(ip_text: str) -> str | None:
    """Return why an address is not public, or None if it is.

    >>> inside_of("169.254.169.254"), inside_of("10.0.0.1"), inside_of("1.1.1.1")
    ('link-local', 'private', None)
    """
    try:
        ip: Address = ipaddress.ip_address(ip_text.partition("%")[0])
    except ValueError:
        return "no address"
    for inner in (ip, *_embedded_ipv4(ip)):
        for header, kind in (
            (inner.is_loopback, "loopback"),
            (inner.is_link_local, "link-local"),
            (inner.is_unspecified, "unspecified"),
            (inner.is_multicast, "multicast"),
            (inner == _AZURE_HOST, "a cloud's metadata"),
            (inner.is_reserved and inner not in _NAT64, "reserved"),
            (not inner.is_global and inner not in _NAT64, "private"),
            (any(inner in net for net in _SPECIAL), "kept for special use"),
        ):
            if header:
                return kind
    return None


def _embedded_ipv4(ip: Address) -> list[Address]:
    """Return the IPv4 addresses inside an IPv6 address: a router or the kernel may use them instead."""
    if isinstance(ip, ipaddress.IPv4Address):
        return []
    teredo = ip.teredo or ()
    embedded = [ip.ipv4_mapped, ip.sixtofour, *teredo]
    if ip in _NAT64:
        embedded.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return [inner for inner in embedded if inner is not None]


def system_addresses(host: str, port: int) -> list[str]:
    """Ask the system's resolver. Raises: OSError."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in infos))


def _resolve_in_time(where: ReceiverAddress, resolve: Resolve) -> list[str]:
    """Resolve with a time limit, which the system's resolver lacks."""
    answer: list[list[str] | OSError | UnicodeError] = []

    def ask() -> None:
        try:
            answer.append(resolve(where.host, where.port))
        except (OSError, UnicodeError) as why:
            answer.append(why)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(RESOLVING_S)
    if not answer:
        raise ExportError(f"{where.host}: was not resolved within {RESOLVING_S:.0f} s")
    if not isinstance(answer[0], list):
        raise ExportError(f"{where.host}: cannot be resolved: {answer[0]}")
    return answer[0]
