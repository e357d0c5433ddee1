"""Keys: who may read, and who may also write.

A key is ``gk_ID_SECRET`` with 256 random bits of secret. The registry holds the SHA-256 of the
secret (of so many random bits no slow hash is needed); the secret itself is shown once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal, NamedTuple

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Registry, Row, now
from gpu_kmeans.service.settings import Settings

__all__ = ["Key", "Scope", "add_key", "check_scope", "find_key", "remove_key"]

Scope = Literal["read", "write"]
MOST_NAME = 64


class Key(NamedTuple):
    """Who showed a key: its id and name, which may be written down, and what it may do."""

    id: str
    name: str
    scope: str


def add_key(registry: Registry, name: str, scope: Scope) -> str:
    """Make a key of a new name, and return it: it is not kept."""
    if not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise InvalidParam(f"a key's name has 1 to {MOST_NAME} printable characters")
    if registry.row("SELECT id FROM keys WHERE name = ?", name) is not None:
        raise InvalidParam(
            f"there is a key named {name!r}: remove it first, or choose another name"
        )
    number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with registry.writing() as to:
        to.execute(
            "INSERT INTO keys (id, name, hash, scope, created) VALUES (?, ?, ?, ?, ?)",
            (number, name, _hash(secret), scope, now()),
        )
    return f"gk_{number}_{secret}"


def remove_key(registry: Registry, name: str) -> None:
    """Let a key count no longer."""
    if registry.row("SELECT id FROM keys WHERE name = ?", name) is None:
        raise InvalidParam(f"there is no key named {name!r}")
    with registry.writing() as to:
        to.execute("DELETE FROM keys WHERE name = ?", (name,))


def find_key(registry: Registry, settings: Settings, authorization: str | None) -> Key | None:
    """The key that a request shows; None where none is needed and no valid one is shown.

    Raises
    ------
    Problem
        401 without a valid key where one is needed.
    """
    scheme, _, shown = (authorization or "").partition(" ")
    is_bearer = scheme.lower() == "bearer" and bool(shown)
    key = _valid(registry, settings, shown.strip()) if is_bearer else None
    if key is None and settings.needs_keys:
        if not is_bearer:
            raise _unauthorized(
                "a key is needed: send it as `Authorization: Bearer KEY`", "missing_key"
            )
        raise _unauthorized("this key is not valid", "invalid_key")
    return key


def check_scope(settings: Settings, key: Key | None, scope: Scope) -> None:
    """Let a request pass, or raise a 403 problem for a key that may only read."""
    if settings.needs_keys and scope == "write" and (key is None or key.scope != "write"):
        raise Problem(403, "wrong_scope", "this key may only read")


def _valid(registry: Registry, settings: Settings, shown: str) -> Key | None:
    if settings.key is not None and _same(_hash(shown), _hash(settings.key.get_secret_value())):
        return Key("", "the setting `key`", "write")
    parts = shown.split("_", 2)
    if len(parts) != 3 or parts[0] != "gk":
        return None
    row: Row | None = registry.row("SELECT name, hash, scope FROM keys WHERE id = ?", parts[1])
    # Also for an unknown key something is compared: both answers take as long.
    expected = row["hash"] if row is not None else _hash("")
    valid = _same(_hash(parts[2]), expected)
    return Key(parts[1], row["name"], row["scope"]) if row is not None and valid else None


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one, other)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _unauthorized(detail: str, code: str) -> Problem:
    return Problem(401, code, detail, {"WWW-Authenticate": "Bearer"})
