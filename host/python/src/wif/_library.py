"""The library in C, by ctypes: one library for every version of Python, with no compiler between them.

Functions that may wait are called without Python's lock; those that never wait are called with it, for giving it up and taking it back
costs more than they do.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._errors import WifError, error_from

Call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
Log = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
Done = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


class TokenFields(ctypes.Structure):
    """`struct wif_token`."""

    _fields_ = [
        ("id", ctypes.c_char_p),
        ("origin", ctypes.c_char_p),
        ("value", ctypes.c_char_p),
        ("headers", ctypes.POINTER(ctypes.c_char_p)),
        ("merged", ctypes.POINTER(ctypes.c_char_p)),
        ("suspect", ctypes.c_int),
    ]


class Callable_(ctypes.Structure):
    """`struct wif_callable`."""

    _fields_ = [
        ("kind", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("call", Call),
        ("user", ctypes.c_void_p),
    ]


class RequestFields(ctypes.Structure):
    """`struct wif_request`."""

    _fields_ = [
        ("id", ctypes.c_uint64),
        ("method", ctypes.c_char_p),
        ("url", ctypes.c_char_p),
        ("headers", ctypes.POINTER(ctypes.c_char_p)),
        ("body", ctypes.c_void_p),
        ("body_length", ctypes.c_size_t),
        ("ca_file", ctypes.c_char_p),
        ("timeout_ms", ctypes.c_int64),
        ("max_response_bytes", ctypes.c_size_t),
    ]


Send = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(RequestFields))


def _path() -> str:
    # For those who build the library themselves.
    told = os.environ.get("WIF_LIBRARY")
    if told:
        return told
    return str(Path(__file__).with_name("libwif.dylib" if sys.platform == "darwin" else "libwif.so"))


def _load() -> tuple[ctypes.CDLL, ctypes.PyDLL]:
    path = _path()
    try:
        return ctypes.CDLL(path), ctypes.PyDLL(path)
    except OSError as error:
        raise ImportError(
            f"the library of the package wif cannot be loaded ({error}): install a wheel for this platform, or build host/c and name "
            "its shared library in WIF_LIBRARY"
        ) from None


_waits, _fast = _load()

_TEXT, _POINTER, _INT = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int
_ERROR = ctypes.POINTER(ctypes.c_void_p)


def _function(library: ctypes.CDLL, name: str, result: Any, *parameters: Any) -> Callable[..., Any]:
    function = library[name]
    function.restype = result
    function.argtypes = parameters
    return function


open_ = _function(_waits, "wif_open", _POINTER, _TEXT, _TEXT, _POINTER, ctypes.c_size_t, _POINTER, _POINTER, _ERROR)
open_sending = _function(
    _waits, "wif_open_sending", _POINTER, _TEXT, _TEXT, _POINTER, ctypes.c_size_t, _POINTER, _POINTER, Send, _POINTER, _ERROR
)
request_answer = _function(
    _waits, "wif_request_answer", _INT, ctypes.c_uint64, _INT, ctypes.POINTER(ctypes.c_char_p), _TEXT, ctypes.c_size_t
)
request_fail = _function(_waits, "wif_request_fail", _INT, ctypes.c_uint64, _INT, _TEXT)
try_token = _function(_fast, "wif_try_token", _POINTER, _POINTER)
serves = _function(_fast, "wif_serves", _INT, _POINTER, _POINTER)
get_token = _function(_waits, "wif_get_token", _POINTER, _POINTER, ctypes.c_int64, _ERROR)
get_token_async = _function(_waits, "wif_get_token_async", None, _POINTER, ctypes.c_int64, Done, _POINTER)
reject = _function(_fast, "wif_reject", None, _POINTER, _TEXT)
replace = _function(_waits, "wif_replace", _POINTER, _POINTER, _TEXT, ctypes.c_int64)
changed = _function(_fast, "wif_changed", None, _POINTER)
#: Also opens the credential anew in a forked process, which takes some milliseconds.
fd = _function(_waits, "wif_fd", _INT, _POINTER)
acknowledge = _function(_fast, "wif_acknowledge", None, _POINTER)
status = _function(_waits, "wif_status", _POINTER, _POINTER, _ERROR)
shutdown = _function(_waits, "wif_shutdown", None, _POINTER)
close = _function(_waits, "wif_close", _INT, _POINTER)
token_free = _function(_fast, "wif_token_free", None, _POINTER)
string_free = _function(_fast, "wif_string_free", None, _POINTER)
answer_ok = _function(_fast, "wif_answer_ok", None, _POINTER, _TEXT)
answer_error = _function(_fast, "wif_answer_error", None, _POINTER, _TEXT)
is_credential = _function(_fast, "wif_is_credential", _INT, _TEXT)
session_open = _function(_waits, "wif_session_open", _POINTER, _TEXT, _ERROR)
session_step = _function(_waits, "wif_session_step", _POINTER, _POINTER, _TEXT, _TEXT, _ERROR)
session_status = _function(_waits, "wif_session_status", _POINTER, _POINTER, _TEXT, _ERROR)
session_entry_key = _function(_waits, "wif_session_entry_key", _POINTER, _POINTER, _ERROR)
session_close = _function(_waits, "wif_session_close", None, _POINTER)
_version = _function(_fast, "wif_version", _TEXT)


def version() -> str:
    """The library's version."""
    text: bytes = _version()
    return text.decode()


def take(text: int) -> str:
    """A text of the library, freed."""
    try:
        return ctypes.string_at(text).decode()
    finally:
        string_free(text)


def encoded(text: str) -> bytes:
    """A text for the library. A string of Python may hold what none in UTF-8 can, and zero bytes, which end a text of C."""
    try:
        bytes_ = text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text cannot be written in UTF-8") from None
    if b"\0" in bytes_:
        raise ValueError("the text holds a zero byte")
    return bytes_


def checked(function: Callable[..., Any], *arguments: Any) -> int:
    """What the function returns, or the error that it tells of."""
    error = ctypes.c_void_p()
    value: int | None = function(*arguments, ctypes.byref(error))
    if value is None:
        raise error_from(take(error.value)) if error.value else WifError("the library gave neither a value nor an error")
    return value
