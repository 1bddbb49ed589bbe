"""`httpx2.Client(auth=wif.httpx2.Auth(credential))`, and `httpx2.AsyncClient` likewise: the client of the vendor's SDK."""

import httpx2

from ._http import Flow


class Auth(Flow, httpx2.Auth):
    """Puts the credential on every request."""


__all__ = ["Auth"]
