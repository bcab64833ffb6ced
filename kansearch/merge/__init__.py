"""One study made of several: their trials, enqueued configurations, confirmations and checkpoints."""
