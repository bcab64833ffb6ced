"""A filesystem that fsspec knows by `shelf://` and that no code may take for a folder of this machine."""

from __future__ import annotations

from typing import Any

from fsspec.implementations.local import LocalFileSystem


class ShelfFileSystem(LocalFileSystem):
    protocol = "shelf"
    local_file = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("shelf://"))
