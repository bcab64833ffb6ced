"""The base class of the network of every family."""

from __future__ import annotations

from typing import ClassVar, Self

from torch import nn

__all__ = ["Network"]


class Network(nn.Module):
    """Features, and a head that makes logits of them.

    Where it is frozen the features have no gradient and are always in eval mode, so that the statistics of their
    normalisation stay as they are.
    """

    HEAD: ClassVar[tuple[str, ...]] = ("head",)
    """The parts of the network that belong to its head; the others are its features."""

    frozen: bool = False

    def freeze(self) -> None:
        """Let nothing but the head learn from now on."""
        self.frozen = True
        for part in self._features():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            for part in self._features():
                part.eval()
        return self

    def in_head(self, name: str) -> bool:
        """Whether a weight or buffer of this name is the head's."""
        return name.partition(".")[0] in self.HEAD

    def _features(self) -> list[nn.Module]:
        return [part for name, part in self.named_children() if name not in self.HEAD]
