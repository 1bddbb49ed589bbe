"""`requests.get(url, auth=wif.requests.Auth(credential))`."""

from __future__ import annotations

from typing import Any, cast

import requests
from requests.auth import AuthBase

from ._credential import Credential
from ._errors import other_origin
from ._rules import is_exempt, is_rejection
from ._token import Token, strip


class Auth(AuthBase):
    """Puts the credential on every request.

    A request to another origin than the token's is not sent, nor is a redirected one given the credential elsewhere. A preflight, an echo,
    a tunnel and an upgrade carry no credential at all. A request whose token is rejected is sent once more with another one, if there is
    one and its body can be sent again.
    """

    def __init__(self, credential: Credential, *, timeout: float | None = 60.0) -> None:
        """`timeout`: so many seconds a request waits for a token."""
        self._credential, self._timeout = credential, timeout

    def __repr__(self) -> str:
        return f"<wif.requests.Auth of {self._credential!r}>"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Puts it on one."""
        token = self._credential.token(self._timeout)
        if not _apply(token, request):
            return request

        def answered(response: Any, *_: Any, **options: Any) -> Any:
            if response.is_redirect and not token.is_for(requests.compat.urljoin(response.url, response.headers["location"])):
                # The next request is a copy of this one.
                for name in [*token.headers, *token.merged]:
                    response.request.headers.pop(name, None)
            rejected = is_rejection(response.status_code, response.headers)
            if not rejected or not isinstance(response.request.body, (bytes, str, type(None))):
                return response
            other = self._credential.replacement(token)
            if other is None:
                return response
            # Reading it to its end gives the connection back.
            response.content  # noqa: B018
            response.close()
            again = response.request.copy()
            _apply(other, again)
            second = response.connection.send(again, **options)
            second.history.append(response)
            second.request = again
            return second

        cast("Any", request).register_hook("response", answered)
        return request


def _apply(token: Token, request: requests.PreparedRequest) -> bool:
    """Whether it carries the token."""
    if not token.is_for(request.url or ""):
        raise other_origin((request.url or "").split("?")[0], token.origin)
    if is_exempt(request.method or "", request.headers.items()):
        strip(request.headers)
        return False
    token.apply(request.headers)
    return True


__all__ = ["Auth"]
