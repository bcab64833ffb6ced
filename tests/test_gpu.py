"""`python -m tests.gpu` runs the GPU's tests, and says so where it can't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import gpu


def test_without_a_device_nothing_is_called_green(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 1
    assert capsys.readouterr().out == "GPU tests: no CUDA device here, none ran\n"


def test_the_files_are_those_that_ask_for_a_device() -> None:
    assert {"test_cuda.py", "test_kernels.py"} <= {path.name for path in gpu.files()}


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("def test_a(): pass\n", 0, "GPU tests: 1 passed in"),
        ("def test_a(): assert 0\ndef test_b(): pass\n", 1, "GPU tests: 1 passed, 1 failed in"),
        (
            "import pytest\ndef test_a(): pytest.skip('needs two GPUs')\ndef test_b(): pass\n",
            0,
            "1 passed, 1 skipped in",
        ),
        ("import pytest\ndef test_a(): pytest.skip('no CUDA device')\n", 1, "GPU tests: 1 skipped in"),
        ("import nothing_of_that_name\n", 2, "GPU tests: none ran in"),
    ],
)
def test_the_last_line_and_the_exit_code_say_what_happened(
    body: str, code: int, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    test = tmp_path / f"test_of_{tmp_path.name}.py"  # pytest imports each name once
    test.write_text(body)
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(gpu, "files", lambda: [test])
    options: Any = ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", "/dev/null", "--import-mode=importlib"]
    assert gpu.main(options) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert line in last and " s on a GPU, torch " in last
