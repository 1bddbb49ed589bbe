"""A session without a driver: for authors of hosts, and for the conformance vectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import _library
from ._errors import WifError

#: JSON.
Json = Any


class Session:
    """The state machine behind the contract's JSON. The rules of `wit/session.wit` are the caller's to keep.

    Raises `ConfigurationError` if the configuration can never work. Calls on one session are serial.
    """

    def __init__(self, configuration: str, *, seed: int, can: Sequence[str], start: Json = "fresh") -> None:
        self._pointer: int | None = None
        opening = {"configuration": configuration, "seed": seed, "can": list(can), "from": start}
        self._pointer = _library.checked(_library.session_open, _text(opening))

    def step(self, clock: Json, event: Json) -> Json:
        """A `clock` and an `event` in, an `output` out: it holds secrets."""
        return json.loads(_library.take(_library.checked(_library.session_step, self._open(), _text(clock), _text(event))))

    def status(self, clock: Json) -> Json:
        """A `clock` in, a `status` out."""
        return json.loads(_library.take(_library.checked(_library.session_status, self._open(), _text(clock))))

    def entry_key(self) -> str | None:
        """The key of this identity's entry in a store."""
        key: str | None = json.loads(_library.take(_library.checked(_library.session_entry_key, self._open())))
        return key

    def close(self) -> None:
        """Ends it."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            _library.session_close(pointer)

    def __del__(self) -> None:
        self.close()

    def _open(self) -> int:
        if self._pointer is None:
            raise WifError("the session is closed")
        return self._pointer


def _text(value: Json) -> bytes:
    # A string of the contract holds no lone surrogate, and one of Python may.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
