"""What can go wrong, by what the program can do about it. No error holds a secret."""

from __future__ import annotations

import json
from typing import Any


class WifError(Exception):
    """Every error of this package."""


class ConfigurationError(WifError):
    """The configuration, or an argument beside it, can never work. `field` says which; empty for the document as a whole."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        return (_again, (type(self), self.args, self.__dict__))


class NoTokenError(WifError):
    """There is no token. `code` is for the program, the text and `action` are for people.

    The codes are those of the contract (README.md has the table), and `timed-out`, `overloaded`, `closed`, `component-stopped`,
    `other-origin` and `internal`.
    """

    #: What a proxy answers its own caller with.
    status_code = 503

    def __init__(self, problem: dict[str, Any]) -> None:
        self.code: str = problem["code"]
        self.message: str = problem["message"]
        self.action: str = problem["action"]
        #: Seconds until it is tried again, or None.
        self.retry_in: float | None = _seconds(problem.get("retry-in-ms"))
        #: Seconds until the identity token's rotation is expected, where that is what is awaited, or None.
        self.rotation_in: float | None = _seconds(problem.get("rotation-in-ms"))
        #: The status of the token endpoint, if it answered.
        self.endpoint_status: int | None = problem.get("status")
        #: The request id of that answer.
        self.request_id: str | None = problem.get("request-id")
        super().__init__(f"no access token: {self.message} {self.action} ({self.code})")

    def __reduce__(self) -> tuple[Any, ...]:
        return (_again, (type(self), self.args, self.__dict__))


class TimedOut(NoTokenError, TimeoutError):
    """The caller's own time was over. Work goes on: ask again."""


def error_from(text: str) -> WifError:
    """The error that the library told of."""
    problem: dict[str, Any] = json.loads(text)
    if problem["code"] in ("configuration", "invalid-argument") and "retry-in-ms" not in problem and "field" in problem:
        return ConfigurationError(problem["field"], problem["message"])
    if problem["code"] == "timed-out":
        return TimedOut(problem)
    return NoTokenError(problem)


def other_origin(told: str, actual: str) -> NoTokenError:
    """The token is not for where the request goes."""
    return NoTokenError(
        {
            "code": "other-origin",
            "message": f"The token is for {actual}, and not for {told}.",
            "action": "Send the request there, or mend base_url in the configuration.",
        }
    )


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _again(kind: type[WifError], args: tuple[Any, ...], members: dict[str, Any]) -> WifError:
    # For pickle, which calls a class with the text that its own __init__ has made.
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(members)
    return error
