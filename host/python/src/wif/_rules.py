"""What every host does alike with a request and its answer: the rules of the contract's `rules.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Requests with these methods carry no credential: a tunnel, a preflight, one that is answered with itself.
EXEMPT_METHODS = frozenset({"CONNECT", "OPTIONS", "TRACE"})

#: An answer with this status, or this status of gRPC, rejects the token.
REJECTED, REJECTED_GRPC = 401, "16"


def is_exempt(method: str, fields: Iterable[tuple[str, str]]) -> bool:
    """Whether it is no request to the API as such: then it carries no credential, neither ours nor the caller's."""
    lower = [(name.lower(), value) for name, value in fields]
    named = [part.strip().lower() for name, value in lower if name == "connection" for part in value.split(",")]
    return method.upper() in EXEMPT_METHODS or ("upgrade" in named and any(name == "upgrade" for name, _ in lower))


def is_rejection(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer from the token's origin, to a request that carried the token, rejects it."""
    return status == REJECTED or headers.get("grpc-status") == REJECTED_GRPC
