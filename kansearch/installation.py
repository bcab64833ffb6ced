"""Is what Python imports what was installed? Light: every command asks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from kansearch.errors import InputError

__all__ = ["check_trials_package"]


def check_trials_package() -> None:
    """Workers must import the `trials` that ships beside `kansearch`.

    Raises:
        InputError: another package or file of that name comes first on the path; the message names it.
    """
    import kansearch

    expected = Path(kansearch.__file__).resolve().parent.parent / "trials" / "__init__.py"
    found = importlib.util.find_spec("trials")
    origin = Path(found.origin).resolve() if found and found.origin else None
    if origin != expected:
        raise InputError(
            f"Python finds another package `trials`, {origin}, before kansearch's, {expected}; move it away"
        )
