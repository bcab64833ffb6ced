"""Errors of a model, its data or its training, whose message is for the user."""

from __future__ import annotations

from trials.data.errors import DataError
from trials.saved.trained import ModelError
from trials.saved.weights import WeightsError
from trials.training.loop import TrialDiverged

__all__ = ["COMPRESSION_ERRORS"]

COMPRESSION_ERRORS = (DataError, ModelError, TrialDiverged, WeightsError, ValueError, RuntimeError)
