"""`httpx.Client(auth=wif.httpx.Auth(credential))`, and `httpx.AsyncClient` likewise."""

import httpx

from ._http import Flow


class Auth(Flow, httpx.Auth):
    """Puts the credential on every request."""


__all__ = ["Auth"]
