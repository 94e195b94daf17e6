"""Who may talk to the server: by Host, Origin and, beyond this machine, a random key; and the headers of every answer."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psutil

_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
_POLICY = (
    "default-src 'none'; script-src 'self'{hashes}; style-src 'self'; img-src 'self' data: blob:; media-src blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Door:
    """The hosts under which the server may be addressed, and the key that is asked for, if any."""

    hosts: frozenset[str]
    key: str = ""

    @classmethod
    def at(cls, host: str, port: int) -> Door:
        """The door of a server on an address; beyond loopback there is a key of 128 bits."""
        beyond = not is_loopback(host)
        names = [*_LOCAL, *(_own_names(host) if beyond else ())]
        ports = [f":{port}", *([""] if port == 80 else [])]
        hosts = frozenset(f"{name}{suffix}".lower() for name in names for suffix in ports)
        return cls(hosts, secrets.token_urlsafe(16) if beyond else "")

    def knows(self, hosts: Sequence[str]) -> bool:
        """Whether a request's Host headers are one, and ours: a foreign name may lead here by DNS rebinding."""
        return len(hosts) == 1 and hosts[0].lower() in self.hosts

    def is_ours(self, hosts: Sequence[str], origins: Sequence[str]) -> bool:
        """Whether a socket is opened by our own page: its one Origin is the host that it addresses."""
        return self.knows(hosts) and [origin.lower() for origin in origins] == [f"http://{hosts[0].lower()}"]

    def opens(self, key: str | None) -> bool:
        """Whether the key is right, or none is needed; the comparison takes the same time for any."""
        return not self.key or secrets.compare_digest((key or "").encode(), self.key.encode())


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _own_names(host: str) -> Iterable[str]:
    """The names of the address; of one that means all of this machine's, each of them."""
    yield f"[{host}]" if ":" in host else host
    if host not in ("0.0.0.0", "::"):
        return
    yield from (socket.gethostname(), f"{socket.gethostname()}.local")
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET:
                yield each.address
            elif each.family == socket.AF_INET6:
                yield f"[{each.address.partition('%')[0]}]"


def headers_for(index: str) -> Mapping[str, str]:
    """The headers of every answer; the policy admits the import map in the page's HTML, and no other inline script."""
    found = (hashlib.sha256(text.encode()).digest() for text in _IMPORT_MAP.findall(index))
    hashes = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in found)
    return {
        "Content-Security-Policy": _POLICY.format(hashes=hashes),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
