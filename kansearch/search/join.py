"""Join a Ray cluster that runs already, or say in one line within seconds why that can't be done."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from kansearch.errors import InputError, KansearchError
from kansearch.search import probe

__all__ = ["check_address", "find_the_way_in", "join"]

_CONNECT_SECONDS = 5.0
_AUTH_MODE = "RAY_AUTH_MODE"
_TOKEN = "copy ~/.ray/auth_token of the cluster's head node to the same place here, or set RAY_AUTH_TOKEN to its text"
_FOR_WORKERS = ("KANSEARCH_DATA",)


def join(address: str, environment: Mapping[str, str]) -> None:
    """Make this process a driver on the cluster at `address`.

    Args:
        address: as `check_address` takes it; `auto` means the cluster that this machine belongs to.
        environment: variables for the workers; they see those of their nodes otherwise.

    Raises:
        KansearchError: no cluster there takes this process.
    """
    if address != "auto":
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


def check_address(address: str) -> None:
    """Raise InputError where `address` is neither `auto` nor HOST:PORT."""
    host, _, port = address.rpartition(":")
    if address != "auto" and (not host or "/" in host or not port.isdecimal()):
        raise InputError(f"--address {address}: must be auto, or HOST:PORT of the cluster's head node")


def _check_that_it_listens(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise KansearchError(f"no Ray cluster answers at '{address}': {error}") from error


def find_the_way_in(address: str) -> None:
    """Set Ray's authentication mode to the cluster's, unless the user has set one.

    A driver with a token on a cluster without authentication is let in, and every actor it starts is cancelled.
    """
    modes = [os.environ[_AUTH_MODE]] if _AUTH_MODE in os.environ else ["disabled", *(["token"] if _has_token() else [])]
    for mode in modes:
        os.environ[_AUTH_MODE] = mode
        refusal = _try(address)
        if refusal.get("kind") != "token":
            break
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
        "version": f"the Ray cluster at '{address}' runs other versions: {text}",
        "elsewhere": f"this machine is no node of the Ray cluster at '{address}': "
        f"`ray start --address={address}` makes it one, or launch on one that is",
        "nowhere": "no Ray cluster runs on this machine: `ray start` starts one; or give HOST:PORT of a head node",
        "silent": f"no Ray cluster answers at '{address}': something listens there, but does not speak as Ray does",
    }.get(kind, f"cannot join the Ray cluster at '{address}': {text}")
