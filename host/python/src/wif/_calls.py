"""What functions of the program give."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any


def waited(answer: Any) -> Any:
    """What a function gave, or a coroutine gives: that has an event loop of its own."""
    if inspect.isawaitable(answer):

        async def wait() -> Any:
            return await answer

        return asyncio.run(wait())
    return answer
