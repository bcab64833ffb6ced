"""Trials and trained models as things to keep: pick, export, predict, compare, compress, read formulas, and more."""

__all__ = [
    "compare",
    "compress",
    "export",
    "pick",
    "portable",
    "predict",
    "predict_rows",
    "presets",
    "start",
    "symbolic",
]
