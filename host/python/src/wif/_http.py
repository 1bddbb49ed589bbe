"""What httpx and httpx2 have alike: two packages with one form, of which a program has either."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from ._credential import Credential
from ._errors import other_origin
from ._rules import is_exempt, is_rejection
from ._token import Token, strip


class Flow:
    """An `Auth` of either package, but for its base class.

    A request to another origin than the token's is not sent. A preflight, an echo, a tunnel and an upgrade carry no credential at all. A
    request whose token is rejected is sent once more with another one, if there is one and its body can be sent again.
    """

    def __init__(self, credential: Credential, *, timeout: float | None = 60.0) -> None:
        """`timeout`: so many seconds a request waits for a token."""
        self._credential, self._timeout = credential, timeout

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} of {self._credential!r}>"

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """The steps of a request."""
        token = self._credential.token(self._timeout)
        carries = self._apply(token, request)
        response = yield request
        if carries and is_rejection(response.status_code, response.headers) and _can_be_sent_again(request):
            other = self._credential.replacement(token)
            if other is not None:
                response.read()
                self._apply(other, request)
                yield request

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """The steps of a request."""
        token = await self._credential.token_async(self._timeout)
        carries = self._apply(token, request)
        response = yield request
        if carries and is_rejection(response.status_code, response.headers) and _can_be_sent_again(request):
            other = await self._credential.replacement_async(token)
            if other is not None:
                await response.aread()
                self._apply(other, request)
                yield request

    def _apply(self, token: Token, request: Any) -> bool:
        """Whether it carries the token."""
        if not token.is_for(str(request.url)):
            raise other_origin(f"{request.url.scheme}://{request.url.netloc.decode('ascii', 'replace')}", token.origin)
        if is_exempt(request.method, request.headers.multi_items()):
            strip(request.headers)
            return False
        token.apply(request.headers)
        return True


def _can_be_sent_again(request: Any) -> bool:
    # A body that was given as bytes is read already; a stream is gone.
    return hasattr(request, "_content")
