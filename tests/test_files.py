"""Files that are written whole or not at all, and an error's first line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trials.files import as_json, first_line, replacing, typed_line, write_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, as_json({"a": 1}))
    assert path.read_text() == '{\n  "a": 1\n}\n'
    write_whole(path, b"\xff", durable=True)
    assert path.read_bytes() == b"\xff"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as begun:
        assert begun.parent == tmp_path and begun.suffix == ".png", "the suffix says what a picture's format is"
        begun.write_text("new")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_that_are_asked_for(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        write_whole(tmp_path / "open", "")
        write_whole(tmp_path / "private", "", mode=0o600)
    finally:
        os.umask(umask)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("open", "private")] == [0o644, 0o600]


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    program = (
        "import os, signal, sys; from pathlib import Path; from trials.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as begun:\n"
        "    begun.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=Path(__file__).parents[1])
    assert done.returncode == -signal.SIGKILL and path.read_text() == "old"
    write_whole(path, "new")
    assert path.read_text() == "new"


def test_threads_that_write_at_the_same_time_have_their_own_begun_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replacing(path) as begun:
        begun.write_text("first")
        other = threading.Thread(target=write_whole, args=(path, "second"))
        other.start()
        other.join()
        assert path.read_text() == "second" and begun.read_text() == "first"
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["a"]


def test_an_errors_first_line_is_its_name_where_it_has_no_message() -> None:
    assert first_line(ValueError("\nfirst\nsecond")) == "first"
    assert typed_line(ValueError("first\nsecond")) == "ValueError: first"
    assert first_line(ValueError()) == typed_line(ValueError()) == "ValueError"
