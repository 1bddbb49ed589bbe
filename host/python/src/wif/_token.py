"""The credential of one request."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, final
from urllib.parse import urlsplit

from . import _library


@final
class Token:
    """An access token for requests to one origin. Immutable, shared between threads, and shows no secret."""

    __slots__ = ("_pointer", "headers", "id", "merged", "origin", "suspect", "value")

    #: 16 hexadecimal digits: safe to log, and what `Credential.reject` takes.
    id: str
    #: The only origin that it may be sent to, such as `https://api.anthropic.com`.
    origin: str
    #: SECRET: the access token, or the API key.
    value: str
    #: SECRET: the header fields that replace those of a request, by lower-case name.
    headers: Mapping[str, str]
    #: Header fields whose comma-separated values are added where they are not there yet.
    merged: Mapping[str, str]
    #: Whether the API has rejected it, and it is served for want of a better one.
    suspect: bool

    def __init__(self, pointer: int) -> None:
        # It owns the pointer.
        self._pointer = pointer
        fields = _library.TokenFields.from_address(pointer)
        self.id, self.origin, self.value = fields.id.decode(), fields.origin.decode(), fields.value.decode()
        self.headers, self.merged = _pairs(fields.headers), _pairs(fields.merged)
        self.suspect = bool(fields.suspect)

    def __del__(self, free: Any = _library.token_free) -> None:
        free(self._pointer)

    def __repr__(self) -> str:
        return f"Token(id={self.id!r}, origin={self.origin!r}{', suspect=True' if self.suspect else ''})"

    def __reduce__(self) -> str:
        raise TypeError("a token is not to be stored or sent elsewhere: ask its credential for one where it is needed")

    def is_for(self, url: str) -> bool:
        """Whether a request with this URL goes to `origin`."""
        return _origin(url) == _origin(self.origin)

    def apply(self, headers: MutableMapping[str, str]) -> None:
        """Puts it on a request to `origin`: takes off every form of the caller's own credential, sets ours, and merges the rest."""
        strip(headers)
        _take_off_hop_names(headers, {*self.headers, *self.merged})
        for name, value in self.headers.items():
            _replace(headers, name, value)
        for name, value in self.merged.items():
            there = [part.strip() for key in headers if key.lower() == name for part in headers[key].split(",")]
            both = [part for part in [*there, *value.split(",")] if part]
            _replace(headers, name, ",".join(dict.fromkeys(both)))


def strip(headers: MutableMapping[str, str]) -> None:
    """Takes off every form of a caller's own credential."""
    for name in [name for name in headers if is_credential(name)]:
        # Where a name stands twice it goes with the first.
        headers.pop(name, None)


def _take_off_hop_names(headers: MutableMapping[str, str], ours: set[str]) -> None:
    """A `connection` field that names one of ours would have the next hop drop it."""
    for key in [key for key in headers if key.lower() == "connection"]:
        names = [name.strip().lower() for name in headers[key].split(",")]
        if any(is_credential(name) or name in ours for name in names):
            del headers[key]


def _replace(headers: MutableMapping[str, str], name: str, value: str) -> None:
    for key in [key for key in headers if key.lower() == name]:
        del headers[key]
    headers[name] = value


def _pairs(list_: Any) -> Mapping[str, str]:
    pairs: dict[str, str] = {}
    at = 0
    while list_[at] is not None:
        pairs[list_[at].decode()] = list_[at + 1].decode()
        at += 2
    return MappingProxyType(pairs)


@lru_cache(maxsize=512)
def is_credential(name: str) -> bool:
    """Whether a request's own credential may stand in a header field of this name."""
    return bool(_library.is_credential(name.encode("utf-8", "replace").replace(b"\0", b"?")))


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    port = parts.port or {"https": 443, "http": 80}.get(scheme)
    return scheme, (parts.hostname or "").lower(), port


#: For pointers that are no token yet.
NOTHING = ctypes.c_void_p()
