"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ["lazily"]


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return a `__getattr__` for the package: the names of each of its modules, none of which it imports before.

    Args:
        package: the package's `__name__`.
        modules: names, with blanks between, by the module that defines them, such as `trials.training.run`.
    """
    places = {name: module for module, names in modules.items() for name in names.split()}

    def find(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(places[name]), name)

    return find
