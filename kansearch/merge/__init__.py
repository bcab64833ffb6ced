"""Several studies as one: their trials, enqueued configurations, confirmations and checkpoints."""

__all__ = ["merge"]
