"""`StoredConfig`: a trial's configuration as the study keeps it, a `TrialConfig` as soon as somebody asks for it.

To list ten thousand trials takes none of them apart. A configuration that this version can't read stops nothing until
it is to be trained, exported or described.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import ValidationError

from kansearch.errors import UnreadableConfigError
from trials.config import TrialConfig
from trials.config.basis import kind_of

__all__ = ["StoredConfig"]


class StoredConfig:
    """A configuration, as JSON and parsed.

    Args:
        document: the JSON object that `TrialConfig.model_dump(mode="json")` made, perhaps in another version.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    @classmethod
    def of(cls, config: TrialConfig) -> StoredConfig:
        """Return what a study is to keep of a configuration."""
        made = cls(config.model_dump(mode="json"))
        made.__dict__["config"] = config  # in place of the cached property
        return made

    @cached_property
    def config(self) -> TrialConfig:
        """The configuration. Raises UnreadableConfigError."""
        try:
            return TrialConfig.model_validate(self.document)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise UnreadableConfigError(".".join(map(str, first["loc"])), first["msg"]) from error

    @property
    def epochs(self) -> int:
        """Epochs that the trial is to train; 0 where that is not said."""
        return int(self.document.get("epochs", 0))

    @property
    def basis(self) -> str:
        """The name of its basis."""
        return str(self.document["model"]["basis"]["name"])

    @property
    def kind(self) -> Literal["KAN", "plain", "control"]:
        """The kind of its network: `trials.config.basis.kind_of`."""
        return kind_of(self.document["model"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredConfig) and self.document == other.document

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"StoredConfig({self.document!r})"
