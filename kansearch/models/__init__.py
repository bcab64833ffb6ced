"""Trials and trained models as things to keep: pick, export, predict, compare, compress, presets, portable formats."""
