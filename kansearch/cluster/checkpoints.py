"""Where trials keep what they need to go on: a folder, or a place that fsspec reaches, such as `s3://bucket/study`.

    <place>/<number>/checkpoint.pt       of an unfinished trial
    <place>/<number>/model.safetensors   weights of a complete one; kept of the front's
    <place>/<number>/error.txt           the traceback of a failed one

A worker trains in a folder of its machine. `Checkpoints` puts what it wrote there where every other machine finds it.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kansearch.errors import InputError
from kansearch.study.records import TrialRecord
from trials.files import first_line
from trials.results import CHECKPOINT, WEIGHTS

__all__ = ["CHECKPOINT", "WEIGHTS", "Checkpoints", "checkpoint_place", "checkpoints_at"]

_ERROR = "error.txt"
_KEPT = {"fail": _ERROR, "complete": WEIGHTS}
"""The one file that is left of a trial that ended so."""
_HERE = ("", "file", "local")
_OF_ONE_PROCESS = ("memory",)
_log = logging.getLogger(__name__)


class Checkpoints:
    """Checkpoints in a folder that the driver and every worker see under the same path."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __str__(self) -> str:
        return self.place

    @contextmanager
    def folder(self, number: int) -> Iterator[Path]:
        """A folder of this machine to train trial `number` in, with its checkpoint where there is one."""
        folder = self._folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder

    def store(self, number: int, folder: Path) -> None:
        """Keep the checkpoint that was written into `folder`, and weights where there are any: each whole, or not at
        all."""

    def note_error(self, number: int, text: str) -> None:
        """Keep the traceback of a failed trial."""
        self._write(f"{number:05d}/{_ERROR}", text.encode())

    def forget(self, record: TrialRecord) -> None:
        """A finished trial needs no checkpoint; a failed one keeps its traceback, a complete one its weights.

        A worker that is just being stopped may write there once more: what is left then does no harm.
        """
        folder, kept = self._folder(record.number), _KEPT.get(record.state)
        for path in folder.iterdir() if folder.is_dir() else ():  # a checkpoint that was being written too
            if path.name != kept:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # there is something left in it, or it never was
            folder.rmdir()

    def kept(self, number: int) -> list[str]:
        """Names of the files that are kept of a trial."""
        return sorted(path.name for path in self._folder(number).glob("*"))

    def weights(self) -> set[int]:
        """Numbers of the trials whose weights are kept."""
        return {int(path.parent.name) for path in Path(self.place).glob(f"*/{WEIGHTS}")}

    def forget_weights(self, number: int) -> None:
        """Remove all that is kept of a complete trial."""
        shutil.rmtree(self._folder(number), ignore_errors=True)

    @contextmanager
    def weights_of(self, number: int) -> Iterator[Path]:
        """The file of a trial's weights, on this machine. It doesn't exist where none are kept."""
        yield self._folder(number) / WEIGHTS

    def keep_weights(self, number: int, content: bytes) -> None:
        """Keep the content of a file as the weights of a complete trial."""
        self._write(f"{number:05d}/{WEIGHTS}", content)

    def error(self, number: int) -> str | None:
        """The traceback of a failed trial; None where none is kept."""
        return self.find(f"{number:05d}/{_ERROR}")

    def leave(self, name: str, text: str) -> None:
        """Write a note for other machines. Raises the place's own error where it can't be written."""
        self._write(name, text.encode())

    def find(self, name: str) -> str | None:
        """Return the text of a note; None where there is none."""
        path = Path(self.place) / name
        return path.read_text(encoding="utf-8") if path.exists() else None

    def remove(self, name: str) -> None:
        """Take a note away, if there is one."""
        (Path(self.place) / name).unlink(missing_ok=True)

    def _folder(self, number: int) -> Path:
        return Path(self.place) / f"{number:05d}"

    def _write(self, name: str, content: bytes) -> None:
        path = Path(self.place) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class _RemoteCheckpoints(Checkpoints):
    """Checkpoints in a filesystem of fsspec. The machine that trains holds a copy."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._fs, self._root = _filesystem(place)
        self._stored: dict[int, tuple[int, int]] = {}

    def __str__(self) -> str:
        return _shown(self.place)

    @contextmanager
    def folder(self, number: int) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="kansearch-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            with suppress(FileNotFoundError):  # a new trial
                self._fs.get_file(self._path(f"{number:05d}/{CHECKPOINT}"), str(folder / CHECKPOINT))
            self._stored[number] = _version(folder / CHECKPOINT)
            yield folder

    def store(self, number: int, folder: Path) -> None:
        if (folder / WEIGHTS).exists():
            self._put(f"{number:05d}/{WEIGHTS}", folder / WEIGHTS)
        path = folder / CHECKPOINT
        if _version(path) == self._stored.get(number):
            return  # no new one
        self._put(f"{number:05d}/{CHECKPOINT}", path)
        self._stored[number] = _version(path)

    def forget(self, record: TrialRecord) -> None:
        with self._leaving(record.number):
            self._clear(record.number, _KEPT.get(record.state))

    def kept(self, number: int) -> list[str]:
        self._fs.invalidate_cache()
        return sorted(path.rpartition("/")[2] for path in self._fs.glob(self._path(f"{number:05d}/*")))

    def weights(self) -> set[int]:
        self._fs.invalidate_cache()
        found = self._fs.glob(self._path(f"*/{WEIGHTS}"))
        return {int(path.split("/")[-2]) for path in found}

    def forget_weights(self, number: int) -> None:
        with self._leaving(number):
            self._clear(number)

    @contextmanager
    def weights_of(self, number: int) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="kansearch-") as name:
            with suppress(FileNotFoundError):
                self._fs.get_file(self._path(f"{number:05d}/{WEIGHTS}"), str(Path(name) / WEIGHTS))
            yield Path(name) / WEIGHTS

    def find(self, name: str) -> str | None:
        try:
            return bytes(self._fs.cat_file(self._path(name))).decode()
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    @contextmanager
    def _leaving(self, number: int) -> Iterator[None]:
        """A search doesn't end for a file too many."""
        try:
            yield
        except Exception as error:  # each filesystem has its own
            _log.warning("%s/%05d is left behind: %s", self, number, error)

    def _clear(self, number: int, kept: str | None = None) -> None:
        """Remove all files of a trial but `kept`."""
        self._fs.invalidate_cache()
        folder = self._path(f"{number:05d}")
        for path in self._fs.ls(folder, detail=False) if self._fs.exists(folder) else ():
            if path.rpartition("/")[2] != kept:
                self._fs.rm(path)

    def _write(self, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="kansearch-") as folder:
            path = Path(folder) / "content"
            path.write_bytes(content)
            self._put(name, path)

    def _put(self, name: str, source: Path) -> None:
        """Upload under another name, then rename: whoever reads finds the old file or the new one."""
        target, token = self._path(name), uuid.uuid4().hex[:8]
        self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._fs.put_file(str(source), f"{target}.{token}")
        self._fs.mv(f"{target}.{token}", target)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def checkpoints_at(place: str) -> Checkpoints:
    """The checkpoints at `place`, which `checkpoint_place` wrote."""
    return Checkpoints(place) if _scheme(place) in _HERE else _RemoteCheckpoints(place)


def checkpoint_place(place: str, study: str) -> str:
    """The folder of a new study's own in `place`, a path or a URL; checked by writing there.

    Raises:
        InputError: `place` can't be used; the message says what to do.
    """
    shown, parent = _shown(place), place.rstrip("/") or place
    if shown != place:
        raise InputError(
            f"--checkpoints {shown}: holds a password, which Ray would write to its logs: leave it out, and put it "
            "into ~/.config/fsspec/conf.json, or the filesystem's own file or variables, here and on every node"
        )
    if _scheme(place) in _HERE:
        parent = str(Path(place if "://" not in place else urlsplit(place).path).expanduser().absolute())
    elif _scheme(place) in _OF_ONE_PROCESS:
        raise InputError(
            f"--checkpoints {shown}: is seen by one process only; give a path or URL that all machines see"
        )
    own = (
        f"{parent}/{study}-{uuid.uuid4().hex[:8]}"  # what another study of that name left there is none of its business
    )
    try:
        checkpoints = checkpoints_at(own)
        checkpoints.leave("writable", study)
        found = checkpoints.find("writable")
        checkpoints.remove("writable")
    except InputError:
        raise
    except Exception as error:  # each filesystem has its own
        raise InputError(f"--checkpoints {shown}: cannot be written: {first_line(error)}") from error
    if found != study:
        raise InputError(f"--checkpoints {shown}: what is written there cannot be read again")
    return own


def _filesystem(place: str) -> tuple[Any, str]:
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(place)
    except ImportError as error:
        raise InputError(f"--checkpoints {_shown(place)}: {error}, here and on every node") from error
    except ValueError as error:
        raise InputError(f"--checkpoints {_shown(place)}: {first_line(error)}") from error
    return filesystem, str(root).rstrip("/")


def _scheme(place: str) -> str:
    return place.partition("://")[0].lower() if "://" in place else ""


def _shown(place: str) -> str:
    """`place` without its password, also where it is a URL of several, as `simplecache::ftp://me:secret@host/a`."""
    return re.sub(r"(://[^/@:]*):(?!\d+/)[^@]*@", r"\1@", place)


def _version(path: Path) -> tuple[int, int]:
    """Changes whenever the file is written anew."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)
