"""CUDA's Multi-Process Service: a daemon through which processes really compute on one GPU at the same time.

Without it they take turns, and small trials gain nothing by sharing a GPU. The driver starts a daemon of its own, in a
folder of its own, and touches no other: no clocks, no compute mode. `mps.json` in the study's folder names that folder
while it runs; a daemon that a killed driver left behind is found by it, and ended by the next one.
`node_mps.py` does the same on the nodes of a cluster that was joined.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

__all__ = ["PIPES", "Daemon", "Mps", "control", "folders"]

PIPES = "CUDA_MPS_PIPE_DIRECTORY"
"""Names the daemon to a process, which must be told before it first uses CUDA."""
_CONTROL = "nvidia-cuda-mps-control"
_ALSO_IN = ("/usr/local/nvidia/bin", "/usr/bin")
_SOCKETS = "/tmp"  # whatever TMPDIR says: the paths of Unix sockets must be short
_PREFIX = "kansearch-mps-"
_START_SECONDS, _QUIT_SECONDS, _END_SECONDS = 20, 10, 5


def control() -> str | None:
    """Path of the daemon's program; None where there is none."""
    return shutil.which(_CONTROL, path=os.pathsep.join((os.environ.get("PATH", ""), *_ALSO_IN)))


def folders() -> Iterator[Path]:
    """Folders of the daemons that were started on this machine and not ended."""
    return Path(_SOCKETS).glob(f"{_PREFIX}*")


class Daemon:
    """A daemon and its folder.

    Args:
        folder: one that `folders` yields; None makes the name of a new one.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(_SOCKETS, f"{_PREFIX}{uuid.uuid4().hex[:12]}")

    def start(self) -> str | None:
        """Start it in its folder, which is there; why it did not start, if it didn't."""
        program = control()
        if program is None:
            return f"there is no {_CONTROL}"
        return _run([program, "-d"], self.folder, _START_SECONDS)

    def end(self) -> None:
        """Ask it to quit, which ends its servers too; then insist. Its folder goes too."""
        program = control()
        if program is not None and list(_processes(self.folder)):
            _run([program], self.folder, 2 * _QUIT_SECONDS, f"quit -t {_QUIT_SECONDS}\n")
        for number in (signal.SIGTERM, signal.SIGKILL):
            if _wait(lambda: not list(_processes(self.folder))):
                break
            for pid in _processes(self.folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        shutil.rmtree(self.folder, ignore_errors=True)


class Mps:
    """Within `with`, a daemon may be started; at its end it is gone.

    Args:
        study: the folder in which to note it.
    """

    def __init__(self, study: Path) -> None:
        self._note = study / "mps.json"
        self._control = control()
        self.pipes: str | None = os.environ.get(PIPES)
        """Where processes find the daemon: the user's own, or the one started here; None without."""
        self.problem: str | None = None
        """Why no daemon could be started."""

    @property
    def available(self) -> bool:
        """Whether there is a daemon, or one might be started."""
        return self.problem is None and (self.pipes is not None or self._control is not None)

    def __enter__(self) -> Mps:
        self._end_noted()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_noted()

    def start(self) -> None:
        """Start a daemon, unless there is one; `pipes` says where, or `problem` why not."""
        if self.pipes is not None or self._control is None:
            return
        daemon = Daemon()
        try:
            self._note.write_text(json.dumps({"folder": str(daemon.folder)}))
            daemon.folder.mkdir(mode=0o700)
            self.problem = daemon.start()
        except OSError as error:
            self.problem = f"{error.filename}: {error.strerror}"
        if self.problem is None:
            self.pipes = str(daemon.folder)
        else:
            self._end_noted()

    def _end_noted(self) -> None:
        """End the daemon that the study's folder tells of, this driver's own or an earlier one's."""
        try:
            folder = Path(json.loads(self._note.read_text())["folder"])
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            folder = None  # none, or one whose driver was killed before it started it
        if folder is not None and folder.match(f"{_SOCKETS}/{_PREFIX}*"):  # whoever wrote the note
            Daemon(folder).end()
        self._note.unlink(missing_ok=True)


def _run(command: list[str], folder: Path, seconds: float, text: str = "") -> str | None:
    """Run a command for the daemon of `folder`; why it failed."""
    own = {PIPES: str(folder), "CUDA_MPS_LOG_DIRECTORY": str(folder)}
    hidden = ("CUDA_VISIBLE_DEVICES",)  # a daemon would number the devices anew, and its clients then once more
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    try:
        done = subprocess.run(
            command,
            input=text,
            env=environment | own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            start_new_session=True,  # Ctrl-C in a terminal is for the driver, which ends it in its time
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    return f"{_CONTROL} ended with exit code {done.returncode}" if done.returncode else None


def _processes(folder: Path) -> Iterator[int]:
    """The daemon of `folder` and its servers, as told by their environments."""
    mine = f"{PIPES}={folder}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            ours = b"nvidia-cuda-mps" in (path / "cmdline").read_bytes()
            if ours and mine in (path / "environ").read_bytes().split(b"\0"):
                yield int(path.name)
        except OSError:
            continue  # it ended while we looked, or is another user's


def _wait(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _END_SECONDS
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
