"""Every test that needs a GPU: `python -m tests.gpu`, on a machine with one. Arguments are pytest's.

Run before a change to kernels, epochs, steps or packing. The last line says how many passed, and where. The exit code
is not 0 where a test failed, or did not run because there is no CUDA device.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

__all__ = ["files", "main"]

_ASKS = "torch.cuda.is_available()"
_MISSING = "no CUDA device"


def files() -> list[Path]:
    """The files of tests that ask whether there is a GPU."""
    return [path for path in sorted(Path(__file__).parent.glob("test_*.py")) if _ASKS in path.read_text()]


class Outcomes:
    """A pytest plugin that counts outcomes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.without_device = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1
        if report.skipped and _MISSING in str(report.longrepr):
            self.without_device += 1

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[name]} {name}" for name in ("passed", "failed", "skipped") if self.counts[name])


def main(arguments: Sequence[str]) -> int:
    """Run them; the exit code."""
    if not torch.cuda.is_available():
        print(f"GPU tests: {_MISSING} here, none ran")
        return 1
    outcomes, start = Outcomes(), time.perf_counter()
    code = int(pytest.main([*map(str, files()), "-q", *arguments], plugins=[outcomes]))
    seconds = time.perf_counter() - start
    where = f"{torch.cuda.get_device_name()}, torch {torch.__version__.partition('+')[0]}"
    print(f"GPU tests: {str(outcomes) or 'none ran'} in {seconds:.0f} s on {where}")
    return code or int(outcomes.without_device > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
