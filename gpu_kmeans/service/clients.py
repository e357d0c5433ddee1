"""Who asks, and how much of the service each may have at a time.

A client is an address: a key is checked later, and whoever has none could name any. Of IPv6 it is
the network of 64 bits, of which one machine has all. What a proxy says of whom it asks for counts
only if the proxy is one of those that the settings trust.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.settings import Settings

__all__ = ["Clients", "Headers", "network_of"]

Headers = list[tuple[bytes, bytes]]


class Clients:
    """Counts of what each client has: connections, requests, event streams and uploads.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._trusted = [ip_network(proxy, strict=False) for proxy in settings.trusted_proxies]
        most = -(-3 * settings.max_concurrent // 4)  # no client may have all of it
        self._limits = {
            "connections": (settings.max_connections, settings.max_client_connections),
            "requests": (settings.max_concurrent, min(settings.max_client_requests, most)),
            "streams": (settings.max_streams, settings.max_client_streams),
            "uploads": (settings.max_uploads, settings.max_client_uploads),
            "questions": (settings.max_questions, settings.max_client_questions),
        }
        self._counts: Counter[tuple[str, str]] = Counter()
        self._totals: Counter[str] = Counter()

    def is_trusted(self, peer: str) -> bool:
        """Whether a peer is a proxy that says the truth about its clients."""
        address = _address(peer)
        return address is not None and any(address in network for network in self._trusted)

    def address(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Address of the client: the peer, or the last that trusted proxies did not have."""
        if not self._trusted or not self.is_trusted(peer):
            return peer
        forwarded = [
            value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"
        ]
        client = peer
        for hop in reversed(",".join(forwarded).split(",")):
            address = _address(hop)
            if address is None:  # nobody knows who wrote it, nor what stands before it
                break
            client = str(address)
            if not self.is_trusted(client):
                break
        return client

    def enter(self, kind: str, client: str) -> None:
        """Count one more.

        Raises
        ------
        Problem
            429 where there are as many as may be, of this client or of all.
        """
        total, own = self._limits[kind]
        if kind == "connections" and self.is_trusted(client):
            own = total
        key = (kind, network_of(client))
        for count, most, whose in (
            (self._counts[key], own, "of one client"),
            (self._totals[kind], total, "of all clients"),
        ):
            if count >= most:
                if not self._counts[key]:
                    del self._counts[key]
                raise Problem(
                    429,
                    f"too_many_{kind}",
                    f"there are {count} {kind} {whose} at a time, as many as may be: try again "
                    "later",
                    {"Retry-After": "1" if kind in ("connections", "requests") else "5"},
                )
        self._counts[key] += 1
        self._totals[kind] += 1

    def leave(self, kind: str, client: str) -> None:
        """Count one less."""
        key = (kind, network_of(client))
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
        self._totals[kind] -= 1

    @contextmanager
    def inside(self, kind: str, client: str) -> Iterator[None]:
        """Count one more for as long as the block lasts."""
        self.enter(kind, client)
        try:
            yield
        finally:
            self.leave(kind, client)


def _address(text: str) -> Any:
    """The address in a text such as ``192.0.2.1``, ``192.0.2.1:80`` or ``[2001:db8::1]:80``."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


@lru_cache(4_096)
def network_of(client: str) -> str:
    """Return what stands for a client: its address, or of IPv6 the network that it has."""
    address = _address(client)
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), 64), strict=False))
    return client if address is None else str(address)
