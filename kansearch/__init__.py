"""Hyperparameter and architecture search for Kolmogorov-Arnold Networks: the driver's side. Imports no torch."""

__version__ = "0.1.0"
