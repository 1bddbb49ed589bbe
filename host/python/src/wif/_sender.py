"""A program that sends the library's requests by an HTTP client of its own."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from . import _library
from ._calls import waited


@dataclass(frozen=True)
class Request:
    """A request that the policy allows. Add what the transport needs, and nothing else."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    #: Seconds that are left for the whole of it. A later answer counts for nothing.
    timeout: float
    #: An answer with a longer body does not count.
    max_response_bytes: int
    #: A file of certificates in PEM that the server's must lead to, in place of the platform's, and then without a proxy.
    ca_file: str | None


@dataclass(frozen=True)
class Response:
    """The answer, whatever its status is."""

    status: int
    #: Read are content-type, date, location, retry-after and request-id.
    headers: Iterable[tuple[str, str]] = ()
    body: bytes = field(default=b"", repr=False)


class NotSentError(Exception):
    """For a function to raise if no byte of the request has left: no name, no connection, no handshake. Whatever else it raises means
    that the request may have left."""


#: Sends a request. It verifies the server's certificate, follows no redirect, and goes to no private address by a public name.
SendRequest = Callable[[Request], "Response | Awaitable[Response]"]


def send(function: SendRequest) -> Any:
    """What the library calls."""

    def call(_user: int | None, given: Any) -> None:
        request = given.contents
        try:
            response: Response = waited(function(_request(request)))
            names = [_library.encoded(text) for pair in response.headers for text in pair]
            headers = (ctypes.c_char_p * (len(names) + 1))(*names, None)
            _library.request_answer(request.id, response.status, headers, bytes(response.body), len(response.body))
        except BaseException as error:  # noqa: BLE001 - nothing may pass through the library
            # Its text may quote what it was given, a token among it; the program's own log has it whole.
            logging.getLogger("wif").debug("the function for requests raised an error", exc_info=True)
            why = f"the function for requests raised {type(error).__name__}"
            _library.request_fail(request.id, not isinstance(error, NotSentError), why.encode())

    return _library.Send(call)


def _request(given: Any) -> Request:
    headers: list[tuple[str, str]] = []
    while given.headers[2 * len(headers)] is not None:
        at = 2 * len(headers)
        headers.append((given.headers[at].decode(), given.headers[at + 1].decode()))
    return Request(
        method=given.method.decode(),
        url=given.url.decode(),
        headers=tuple(headers),
        body=ctypes.string_at(given.body, given.body_length),
        timeout=given.timeout_ms / 1000,
        max_response_bytes=given.max_response_bytes,
        ca_file=None if given.ca_file is None else given.ca_file.decode(),
    )
