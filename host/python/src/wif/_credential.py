"""A workload's credential."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import json
import logging
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from . import _library
from ._calls import waited
from ._errors import NoTokenError, error_from
from ._sender import SendRequest, send
from ._token import Token

if TYPE_CHECKING:
    from .anthropic import AsyncProvider, Provider

Self = TypeVar("Self", bound="Credential")

#: A proxy's URL, or `environment` for what HTTPS_PROXY and NO_PROXY say.
Proxy = str

logging.getLogger("wif").addHandler(logging.NullHandler())

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NO_LIMIT = -1
_serves = _library.serves


@dataclass(frozen=True)
class SuppliedToken:
    """An access token that the program has."""

    value: str = field(repr=False)
    #: Seconds since 1970. Without it the token's own `exp` is taken where it is a JWT; with neither it serves those who wait for it.
    expires_at: float | None = None


#: Is told the audience that the identity token must carry.
IdentityTokenSource = Callable[[str], "str | Awaitable[str]"]
#: Is told the id of the token that the API rejected, where that is why a new one is wanted: answer from no cache then.
AccessTokenSource = Callable[["str | None"], "SuppliedToken | str | Awaitable[SuppliedToken | str]"]
#: Is told the JWS algorithm and the signing input, and gives the signature's bytes (RFC 7518 section 3).
Signer = Callable[[str, bytes], "bytes | Awaitable[bytes]"]


class Credential:
    """A workload's credential: any number of threads and tasks ask it for a token, and a thread of its own keeps one ready.

    Everything but `configuration` is a limit or a helper, and off by default:

    - `allow_origins`, `allow_private_origins`, `allow_loopback`: where requests and tokens may go, beside https://api.anthropic.com;
    - `allow_directories`, `allow_variables`: what may be read, beside what the configuration names and discovery reads;
    - `allow_sources`: the only sources of identity tokens that may be asked, such as aws; any that the configuration names by default;
    - `allow_executables`: programs that may be run where the configuration names one as the source; without it none is;
    - `proxy`: a URL, or "environment"; `root_certificates`: PEM texts to trust beside the platform's;
    - `request_timeout`, `callable_timeout`: seconds, 60 and 30 by default;
    - `store_directory`: a directory that processes share, so that they make one exchange between them;
    - `identity_tokens`, `access_tokens`, `signers`: functions, by the names that the configuration uses;
    - `send_request`: a function that sends requests by an HTTP client of the program's own; then `proxy` and `root_certificates` are errors;
    - `logger`: None for none.

    It ends with `close`, at the end of a `with` block, or with the process. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any] | str | None = None,
        *,
        allow_origins: Iterable[str] = (),
        allow_private_origins: Iterable[str] = (),
        allow_loopback: bool = False,
        allow_directories: Iterable[str | os.PathLike[str]] = (),
        allow_variables: Iterable[str] = (),
        allow_sources: Iterable[str] = (),
        allow_executables: Iterable[str | os.PathLike[str]] = (),
        proxy: Proxy | None = None,
        request_timeout: float | None = None,
        callable_timeout: float | None = None,
        root_certificates: Iterable[str] = (),
        store_directory: str | os.PathLike[str] | None = None,
        max_waiters: int | None = None,
        identity_tokens: Mapping[str, IdentityTokenSource] | None = None,
        access_tokens: Mapping[str, AccessTokenSource] | None = None,
        signers: Mapping[str, Signer] | None = None,
        send_request: SendRequest | None = None,
        logger: logging.Logger | None = logging.getLogger("wif"),  # noqa: B008
    ) -> None:
        policy = {
            "allow_origins": list(allow_origins),
            "allow_private_origins": list(allow_private_origins),
            "allow_loopback": allow_loopback,
            "allow_directories": [os.fspath(directory) for directory in allow_directories],
            "allow_variables": list(allow_variables),
            "allow_sources": list(allow_sources),
            "allow_executables": [os.fspath(program) for program in allow_executables],
            "proxy": proxy,
            "request_timeout_ms": _ms(request_timeout),
            "callable_timeout_ms": _ms(callable_timeout),
        }
        options = {
            "policy": policy,
            "root_certificates": list(root_certificates),
            "store_directory": None if store_directory is None else os.fspath(store_directory),
            "max_waiters": max_waiters,
        }
        document = configuration if isinstance(configuration, str) else json.dumps(configuration or {})
        callables = [
            *_callables("identity-token", identity_tokens, _identity_token),
            *_callables("access-token", access_tokens, _access_token),
            *_callables("sign", signers, _signature),
        ]
        array = (_library.Callable_ * len(callables))(*callables)
        log = None if logger is None else _log_to(logger)
        sender = None if send_request is None else send(send_request)
        handle = _library.checked(
            _library.open_ if sender is None else _library.open_sending,
            _library.encoded(document),
            _library.encoded(json.dumps(options)),
            ctypes.cast(array, ctypes.c_void_p) if callables else None,
            len(callables),
            None if log is None else ctypes.cast(log, ctypes.c_void_p),
            None,
            *(() if sender is None else (sender, None)),
        )
        self._handle: int | None = handle
        self._held: Token | None = None
        self._process = _process
        # What the library calls must be there until it is closed.
        self._finalizer = weakref.finalize(self, _close, handle, (callables, array, log, sender))

    @classmethod
    def discover(cls: type[Self], **options: Any) -> Self:
        """The credential of this workload, found in its environment as the vendor's SDKs find it. Takes what the class takes."""
        return cls({}, **options)

    # ---- tokens

    def current(self) -> Token | None:
        """The token that may be used now, if there is one. Never waits, and asks for one where one is needed."""
        # Nearly always one call, and nothing else.
        held = self._held
        if held is not None and self._process == _process and self._handle is not None and _serves(self._handle, held._pointer):  # pyright: ignore[reportPrivateUsage]
            return held
        pointer: int | None = _library.try_token(self._alive())
        # A race of two threads keeps one of two equal tokens.
        self._held = None if pointer is None else Token(pointer)
        return self._held

    def token(self, timeout: float | None = None) -> Token:
        """A token for a request that is about to be sent. Waits for one, for at most so many seconds. Raises `NoTokenError`."""
        token = self._good()
        if token is not None:
            return token
        return Token(_library.checked(_library.get_token, self._alive(), _limit(timeout)))

    async def token_async(self, timeout: float | None = None) -> Token:
        """The same without blocking the event loop. May be cancelled at any point."""
        token = self._good()
        if token is not None:
            return token
        future: asyncio.Future[Token] = asyncio.get_running_loop().create_future()
        key = next(_keys)
        _awaited[key] = future
        try:
            _library.get_token_async(self._alive(), _limit(timeout), _done, key)
            return await future
        finally:
            _awaited.pop(key, None)

    def reject(self, token: Token | str) -> None:
        """Says that the API answered 401 to a request with this token, its id or its value. Any but the current does nothing."""
        _library.reject(self._alive(), _library.encoded(token.id if isinstance(token, Token) else token))

    def replacement(self, token: Token | str, timeout: float | None = None) -> Token | None:
        """`reject`, and then another token to send the request with once more, or None: then hand the API's answer on.

        Waits while an exchange is under way, and without `timeout` for about a second."""
        id_ = _library.encoded(token.id if isinstance(token, Token) else token)
        pointer: int | None = _library.replace(self._alive(), id_, _limit(timeout))
        return None if pointer is None else Token(pointer)

    async def replacement_async(self, token: Token | str, timeout: float | None = None) -> Token | None:
        """The same without blocking the event loop."""
        return await asyncio.to_thread(self.replacement, token, timeout)

    # ---- what else there is to know

    def changed(self) -> None:
        """Says that a file, the store or the network may have changed: sources are read again."""
        _library.changed(self._alive())

    def status(self) -> dict[str, Any]:
        """Where it stands, with the names of the contract's `status`: for people and monitoring, not for every request."""
        text = _library.take(_library.checked(_library.status, self._alive()))
        return cast("dict[str, Any]", json.loads(text))

    def fileno(self) -> int:
        """A file descriptor that becomes readable when something changes: for `select` and `loop.add_reader`. Do not read it."""
        number: int = _library.fd(self._alive())
        return number

    def acknowledge(self) -> None:
        """Makes the descriptor unreadable until the next change. Call it before looking at the token."""
        _library.acknowledge(self._alive())

    # ---- the vendor's SDK and HTTP clients

    def anthropic(self) -> Provider:
        """For `anthropic.Anthropic(credentials=...)`. Needs the package anthropic."""
        from .anthropic import Provider

        return Provider(self)

    def anthropic_async(self) -> AsyncProvider:
        """For `anthropic.AsyncAnthropic(credentials=...)`. Needs the package anthropic."""
        from .anthropic import AsyncProvider

        return AsyncProvider(self)

    # ---- the end

    def shutdown(self) -> None:
        """Stops all work. Whoever waits gets the error `closed`; the last token is served until it expires."""
        _library.shutdown(self._alive())

    def close(self) -> None:
        """Ends it. Calls that come later, or are running, raise the error `closed`."""
        if self._handle is not None:
            _library.shutdown(self._handle)
            self._handle = None
            self._finalizer()

    async def aclose(self) -> None:
        """The same without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if self._handle is None:
            return "<wif.Credential closed>"
        token = self._held
        return f"<wif.Credential {'without a token yet' if token is None else f'token={token.id!r}'}>"

    def __reduce__(self) -> str:
        raise TypeError("a credential cannot be pickled: open one in the other process, or fork")

    def _good(self) -> Token | None:
        """One that nothing speaks against."""
        token = self.current()
        return None if token is None or token.suspect else token

    def _alive(self) -> int:
        if self._process != _process:
            # A forked process. What opens the credential anew may wait, and is not called with Python's lock.
            self._process = _process
            if self._handle is not None:
                _library.fd(self._handle)
        if self._handle is None:
            raise NoTokenError({"code": "closed", "message": "The credential is closed.", "action": "Open another."})
        return self._handle


# ---- forked processes ---------------------------------------------------------------------------------------------------------------

#: Changes in every forked process.
_process = 0


def _forked() -> None:
    global _process
    _process += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _close(handle: int, _kept: object) -> None:
    _library.close(handle)


# ---- what the library calls ---------------------------------------------------------------------------------------------------------

_keys = itertools.count(1)
_awaited: dict[int, asyncio.Future[Token]] = {}


def _settle(key: int, token: Token | None, error: str | None) -> None:
    future = _awaited.get(key)
    if future is None or future.done():
        return
    if token is not None:
        future.set_result(token)
    else:
        future.set_exception(error_from(error or '{"code": "internal", "message": "", "action": ""}'))


def _came(key: int, pointer: int | None, error: bytes | None) -> None:
    token = None if pointer is None else Token(pointer)
    future = _awaited.get(key)
    if future is None:
        return
    try:
        future.get_loop().call_soon_threadsafe(_settle, key, token, None if error is None else error.decode())
    except RuntimeError:
        pass  # The loop is closed, and nobody waits any more.


#: Kept for as long as the library may call it.
_done = _library.Done(_came)


def _log_to(logger: logging.Logger) -> Any:
    def log(_user: int | None, line: bytes) -> None:
        entry = json.loads(line)
        logger.log(_LEVELS.get(entry["level"], logging.INFO), "%s", entry["message"], extra={"wif": entry["fields"]})

    return _library.Log(log)


def _callables(
    kind: str, functions: Mapping[str, Any] | None, answer: Callable[[Any, dict[str, Any]], str]
) -> Iterable[_library.Callable_]:
    for name, function in (functions or {}).items():
        yield _library.Callable_(kind.encode(), _library.encoded(name), _call(function, answer), None)


def _call(function: Any, answer: Callable[[Any, dict[str, Any]], str]) -> Any:
    def call(_user: int | None, request: bytes, into: int) -> None:
        try:
            _library.answer_ok(into, _library.encoded(answer(function, json.loads(request))))
        except BaseException as error:  # noqa: BLE001 - nothing may pass through the library
            # Its text may quote what it was given, a token among it; the program's own log has it whole.
            logging.getLogger("wif").debug("a callable raised an error", exc_info=True)
            _library.answer_error(into, f"the callable raised {type(error).__name__}".encode())

    return _library.Call(call)


def _identity_token(function: IdentityTokenSource, request: dict[str, Any]) -> str:
    token: str = waited(function(request["audience"]))
    return token


def _access_token(function: AccessTokenSource, request: dict[str, Any]) -> str:
    given: SuppliedToken | str = waited(function(request.get("rejected")))
    token = SuppliedToken(given) if isinstance(given, str) else given
    answer: dict[str, Any] = {"value": token.value}
    if token.expires_at is not None:
        answer["expires-at-ms"] = max(0, int(token.expires_at * 1000))
    return json.dumps(answer)


def _signature(function: Signer, request: dict[str, Any]) -> str:
    import base64

    signature: bytes = waited(function(request["algorithm"], request["input"].encode()))
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


# ---- times ---------------------------------------------------------------------------------------------------------------------------


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else max(0, int(seconds * 1000))


def _limit(seconds: float | None) -> int:
    return _NO_LIMIT if seconds is None else min(max(0, int(seconds * 1000)), 2**62)


