"""Decide what becomes of a training whose worker is lost or runs out of memory: it is handed out again, or given up.

Each loss is noted with its reason. The notes decide, so that a driver that takes over decides alike.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["enlarged", "given_up_for_memory", "given_up_lost", "noted_for_memory"]

_OUT_OF_MEMORY = "out of memory: "


def enlarged(losses: Sequence[str]) -> bool:
    """Whether a training gets twice the resources: it ran out of memory once."""
    return any(reason.startswith(_OUT_OF_MEMORY) for reason in losses)


def noted_for_memory(reason: str) -> str:
    """How a loss for want of memory is noted."""
    return _OUT_OF_MEMORY + reason


def given_up_lost(losses: Sequence[str], reason: str, retries: int) -> str | None:
    """Why one that lost its worker now is given up; None while it may be handed out again, `retries` times in all."""
    if len(losses) < retries:
        return None
    return f"{reason} ({len(losses) + 1} times)" if losses else reason


def given_up_for_memory(losses: Sequence[str], reason: str) -> str | None:
    """Why one that ran out of memory now is given up; None the first time."""
    return f"{_OUT_OF_MEMORY}{reason}, with twice the resources too" if enlarged(losses) else None
