"""Costs and quality of a model: sizes, memory, time, and how well it classifies."""
