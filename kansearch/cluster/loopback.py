"""Start a Ray of our own that nobody else can reach: every server on 127.0.0.1, its files in a private folder.

Ray keeps to 127.0.0.1 where it takes itself to be on a Mac. `RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0` tells it so, if it is
set before `ray` is imported. Whether that worked is looked at afterwards, and a Ray that others can reach is ended.
"""

from __future__ import annotations

import importlib
import ipaddress
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from kansearch.errors import KansearchError

__all__ = ["local_ray", "make_private_token", "open_to_others"]

_TESTED = "2.60"
_LOOPBACK_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_LONGEST_FOLDER = 38
"""Characters of a folder in which Ray can still make Unix sockets: their paths end at 107."""
_LISTENING = "0A"


@contextmanager
def local_ray() -> Iterator[None]:
    """Ray, started here; ended at the end, and its logs with it.

    Raises:
        KansearchError: somebody else could reach it.
    """
    make_private_token()
    with _private_folder() as folder, _environment({**_LOOPBACK_ALONE, "RAY_TMPDIR": str(folder)}):
        before = open_to_others()
        import ray

        threading.Thread(target=importlib.import_module, args=("ray.tune",), daemon=True).start()  # `init` mostly waits
        try:
            ray.init("local", include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
            found = sorted(place for name, place in open_to_others().items() if name not in before)
            if found:
                raise KansearchError(
                    f"Ray {ray.__version__} listens on {', '.join(found)}, where other machines reach it; Ray "
                    f"{_TESTED} keeps to 127.0.0.1, unless it was imported before the search was started"
                )
            yield
        finally:
            ray.shutdown()


def make_private_token() -> None:
    """Make the token that Ray asks its drivers for, readable by its owner alone; Ray's own is readable by everybody."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    token = Path.home() / ".ray" / "auth_token"
    token.parent.mkdir(parents=True, exist_ok=True)
    new = token.with_name(f"{token.name}.{secrets.token_hex(4)}")
    if not token.exists():
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another driver was first: its token is whole, and ours is nobody's
            os.link(new, token)
        new.unlink()
    token.chmod(0o600)


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder that its owner alone may enter. Ray makes its own in it for everybody."""
    parent = os.environ.get("RAY_TMPDIR") or "/tmp"  # whatever TMPDIR says: the paths of Unix sockets must be short
    try:
        Path(parent).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="kr-", dir=parent))
    except OSError as error:
        raise KansearchError(f"cannot make a folder for Ray in {parent}: {error.strerror}; set RAY_TMPDIR") from error
    try:
        if len(str(folder)) > _LONGEST_FOLDER:
            raise KansearchError(f"RAY_TMPDIR={parent} is too long a path for Ray's Unix sockets: set a shorter one")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def open_to_others() -> dict[str, str]:
    """Sockets of this process and its descendants on which they take connections from other machines.

    Returns:
        Address and port by the socket's name in /proc. Empty where the kernel has no /proc/net, as on a Mac.
    """
    reachable = {}
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a kernel without IPv6, or no Linux
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                address, _, port = fields[1].rpartition(":")
                if fields[3] == _LISTENING and not _is_loopback(address):
                    reachable[f"socket:[{fields[9]}]"] = f"{_address(address)}:{int(port, 16)}"
    return {name: reachable[name] for name in _sockets() if name in reachable} if reachable else {}


def _sockets() -> Iterator[str]:
    """Names of what this process and its descendants have open."""
    for process in _family(os.getpid()):
        with suppress(OSError):  # it ended while we looked
            for descriptor in os.scandir(f"/proc/{process}/fd"):
                with suppress(OSError):
                    yield os.readlink(descriptor.path)


def _family(root: int) -> Iterator[int]:
    """The process `root`, its children, theirs, and so on."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
            children[int(parent)].append(int(path.name))
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children[process]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address as the kernel writes it: words of 32 bits, in hexadecimal, in the machine's order of bytes."""
    words = (int(text[start : start + 8], 16) for start in range(0, len(text), 8))
    address = ipaddress.ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words))
    return getattr(address, "ipv4_mapped", None) or address


def _is_loopback(text: str) -> bool:
    return _address(text).is_loopback
