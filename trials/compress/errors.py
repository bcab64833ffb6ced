"""Errors of a model, its data or its training, whose message is for the user."""

from __future__ import annotations

from trials.data.errors import DataError
from trials.trained import ModelError
from trials.training import TrialDiverged
from trials.weights import WeightsError

__all__ = ["REASONS"]

REASONS = (DataError, ModelError, TrialDiverged, WeightsError, ValueError, RuntimeError)
