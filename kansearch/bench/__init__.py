"""Recorded benchmarks: learning curves of many trained configurations of a space, and a surrogate for those between.

    recording = load_recording("fashion_mnist")     the table, checked                    table.py
    surrogate = load_surrogate(recording)           curves of any configuration           surrogate.py
    python -m kansearch.bench.write NAME FILES   makes both of a recorder's files      write.py

A benchmark is two files here: NAME.parquet, a row for each run, and NAME.json, which says what was recorded on what,
the table's SHA-256, and how the surrogate was fitted. `kansearch bench --on NAME` searches it. Loads no torch.
"""

__all__ = ["portfolio", "problems", "recorded", "run"]
