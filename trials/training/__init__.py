"""Training of one trial, from its configuration to an `EpochResult` an epoch."""
