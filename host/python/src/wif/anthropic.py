"""The vendor's SDK: `anthropic.Anthropic(credentials=credential.anthropic())`."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from anthropic import AnthropicError
from anthropic.lib.credentials import AccessToken

from ._errors import NoTokenError as _NoTokenError
from ._errors import other_origin
from ._token import Token

if TYPE_CHECKING:
    from ._credential import Credential

#: So long nothing is exchanged after an exchange. Whoever is refused within it was refused with the token before.
_FLOOR = 5.0


class NoTokenError(_NoTokenError, AnthropicError):
    """`wif.NoTokenError`, as the SDK hands it on: as it is, and without sending the request again and again."""


def _as_sdk_error(error: _NoTokenError) -> NoTokenError:
    theirs = NoTokenError.__new__(NoTokenError)
    theirs.__dict__.update(error.__dict__)
    theirs.args = error.args
    return theirs


class _Provider:
    """What both kinds have: which token the SDK was given, and for which place."""

    def __init__(self, credential: Credential, base_url: str | None = None, timeout: float | None = 60.0) -> None:
        self._credential, self._base_url, self._timeout = credential, base_url, timeout
        # The last token and its form for the SDK, read and written as one.
        self._given: tuple[Token, AccessToken] | None = None
        self._given_at = 0.0
        self._before = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._credential!r}>"

    def _at_once(self) -> AccessToken | None:
        """What was given last, where that is what there is."""
        given = self._given
        return given[1] if given is not None and self._credential.current() is given[0] and not given[0].suspect else None

    def _rejected(self) -> Token | None:
        """The token that the SDK says was refused: the last that it was given, unless that one has just come after another."""
        with self._lock:
            fresh = self._before and time.monotonic() - self._given_at < _FLOOR
            return None if self._given is None or fresh else self._given[0]

    def _give(self, token: Token) -> AccessToken:
        if self._base_url is not None and not token.is_for(self._base_url):
            raise other_origin(self._base_url, token.origin)
        # Zero says: this one caches for itself, ask it before each request.
        answer = AccessToken(token.value, expires_at=0)
        with self._lock:
            if self._given is None or self._given[0].id != token.id:
                self._before = self._given is not None
                self._given_at = time.monotonic()
            self._given = (token, answer)
        return answer


class Provider(_Provider):
    """An `AccessTokenProvider`. `force_refresh` becomes a rejection of the token that was given, compared with the current one."""

    def __call__(self, *, force_refresh: bool = False) -> AccessToken:
        """The token for a request."""
        try:
            if not force_refresh and (answer := self._at_once()) is not None:
                return answer
            rejected = self._rejected() if force_refresh else None
            other = None if rejected is None else self._credential.replacement(rejected, self._timeout)
            return self._give(other or self._credential.token(self._timeout))
        except _NoTokenError as error:
            raise _as_sdk_error(error) from None

    def for_base_url(self, base_url: str) -> Provider:
        """The provider for a client with this base URL: it gives no token of another origin."""
        return Provider(self._credential, base_url, self._timeout)


class AsyncProvider(_Provider):
    """An `AsyncAccessTokenProvider`, otherwise like `Provider`."""

    async def __call__(self, *, force_refresh: bool = False) -> AccessToken:
        """The token for a request."""
        try:
            if not force_refresh and (answer := self._at_once()) is not None:
                return answer
            rejected = self._rejected() if force_refresh else None
            other = None if rejected is None else await self._credential.replacement_async(rejected, self._timeout)
            return self._give(other or await self._credential.token_async(self._timeout))
        except _NoTokenError as error:
            raise _as_sdk_error(error) from None

    def for_base_url(self, base_url: str) -> AsyncProvider:
        """The provider for a client with this base URL: it gives no token of another origin."""
        return AsyncProvider(self._credential, base_url, self._timeout)
