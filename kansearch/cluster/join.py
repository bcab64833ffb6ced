"""Join a Ray cluster that runs already, or say in one line within seconds why that can't be done."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kansearch.cluster import probe
from kansearch.errors import InputError, KansearchError

__all__ = ["check_address", "find_the_way_in", "joined", "local_address"]

_CONNECT_SECONDS = 5.0
_AUTH_MODE = "RAY_AUTH_MODE"
_TOKEN = "copy ~/.ray/auth_token of the cluster's head node to the same place here, or set RAY_AUTH_TOKEN to its text"
_FOR_WORKERS = ("KANSEARCH_DATA",)


@contextmanager
def joined(address: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Make this process a driver on the cluster at `address`; it leaves at the end.

    Args:
        address: as `check_address` takes it; `auto` means the cluster that this machine belongs to.
        environment: variables for the workers; they see those of their nodes otherwise.

    Raises:
        KansearchError: no cluster there takes this process.
    """
    if address == "auto":
        address = local_address()
    _check_that_it_listens(address)
    find_the_way_in(address)
    import ray

    variables = {**environment, **{name: os.environ[name] for name in _FOR_WORKERS if name in os.environ}}
    try:
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": variables},
        )
    except (ConnectionError, RuntimeError) as error:
        raise KansearchError(f"no Ray cluster takes us at '{address}': {' '.join(str(error).split())}") from error
    try:
        yield
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Raise InputError where `address` is neither `auto` nor HOST:PORT."""
    if address != "auto" and not _is_host_and_port(address):
        raise InputError(f"--address {address}: must be auto, or HOST:PORT of the cluster's head node")


def _is_host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal()


def local_address() -> str:
    """Address of the cluster that this machine belongs to: RAY_ADDRESS, or what `ray start` noted in a file.

    Ray's own search takes the file, and processes that look like a cluster, of any user of the machine.

    Raises:
        KansearchError: there is none, or another user could have written the file.
    """
    address, source = os.environ.get("RAY_ADDRESS", ""), "RAY_ADDRESS"
    if not address:
        folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
        path = Path(folder, "ray", "ray_current_cluster")
        address, source = _read_own(path), str(path)
    if not _is_host_and_port(address):
        raise KansearchError(f"{source} says '{address}', and must say HOST:PORT of a cluster's head node")
    return address


def _read_own(path: Path) -> str:
    """Text of a file that nobody but this user and root can have written. Raises KansearchError."""
    way_out = "give HOST:PORT of a cluster that you trust"
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise KansearchError(_wording("auto", "nowhere", "")) from error
    except OSError as error:
        raise KansearchError(f"{path} cannot be read ({error.strerror}): {way_out}") from error
    with os.fdopen(file) as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (os.getuid(), 0):
            raise KansearchError(f"{path} was made by another user, who could lead us to his own cluster: {way_out}")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise KansearchError(f"{path} can be written by other users, who could lead us elsewhere: {way_out}")
        return opened.read().strip()


def _check_that_it_listens(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise KansearchError(f"no Ray cluster answers at '{address}': {error}") from error


def find_the_way_in(address: str) -> None:
    """Set Ray's authentication mode to the cluster's, unless the user has set `disabled`.

    Who has a token joins only a cluster that asks for one: anybody may have started another. It is shown to no other
    either. Ray would let us in there with the token, and cancel every actor that we start.

    Raises:
        KansearchError: the cluster doesn't take this process, or should not be trusted.
    """
    asked = os.environ.get(_AUTH_MODE)
    with_token = asked == "token" or (asked is None and _has_token())
    os.environ[_AUTH_MODE] = "disabled"
    refusal = _try(address)
    if with_token and not refusal:
        raise KansearchError(_wording(address, "open", ""))
    if with_token and refusal["kind"] == "token":
        os.environ[_AUTH_MODE] = "token"
        refusal = _try(address)
    if refusal:
        raise KansearchError(_wording(address, refusal["kind"], refusal["text"]))


def _has_token() -> bool:
    """Whether Ray finds a token to show: in the environment, or where `ray get-auth-token` puts it."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(path).is_file()


def _try(address: str) -> dict[str, str]:
    """Let another process try first: one that may hang, or die of it. Empty, or why it was refused."""
    command = [sys.executable, "-P", probe.__file__, address]  # -P: no module beside it or here stands in for another
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == -signal.SIGALRM:
        return {"kind": "silent", "text": ""}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"kind": "other", "text": last}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _wording(address: str, kind: str, text: str) -> str:
    return {
        "token": f"the Ray cluster at '{address}' does not accept our token: {_TOKEN}",
        "open": f"the Ray cluster at '{address}' asks for no token, so that anybody may have started it: "
        f"start it with {_AUTH_MODE}=token, or set {_AUTH_MODE}=disabled here to trust it all the same",
        "version": f"the Ray cluster at '{address}' runs other versions: {text}",
        "elsewhere": f"this machine is no node of the Ray cluster at '{address}': "
        f"`ray start --address={address}` makes it one, or launch on one that is",
        "nowhere": "no Ray cluster runs on this machine: `ray start` starts one; or give HOST:PORT of a head node",
        "silent": f"no Ray cluster answers at '{address}': something listens there, but does not speak as Ray does",
    }.get(kind, f"cannot join the Ray cluster at '{address}': {text}")
