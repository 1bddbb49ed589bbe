"""An access token for the Claude API from the identity token that a workload has anyway, kept fresh.

    import wif

    with wif.Credential.discover() as credential:
        token = credential.token(timeout=10)
        ...  # token.apply(headers), for a request to token.origin and no other

README.md has the rest: the vendor's SDK, httpx, requests, functions as sources, and what happens in a forked process.
"""

from ._credential import Credential, Proxy, SuppliedToken
from ._errors import ConfigurationError, NoTokenError, TimedOut, WifError
from ._library import version
from ._sender import NotSentError, Request, Response, SendRequest
from ._session import Session
from ._token import Token

__all__ = [
    "ConfigurationError",
    "Credential",
    "NoTokenError",
    "NotSentError",
    "Proxy",
    "Request",
    "Response",
    "SendRequest",
    "Session",
    "SuppliedToken",
    "TimedOut",
    "Token",
    "WifError",
    "__version__",
]

__version__ = version()
