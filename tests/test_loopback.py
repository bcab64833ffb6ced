"""Nobody but its owner reaches the Ray that a search starts: its ports, its files and its token are looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kansearch.cluster.loopback import make_private_token, open_to_others
from tests.helpers import environment

LISTEN = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
server.bind((sys.argv[1], 0))
server.listen()
print(server.getsockname()[1], flush=True)
input()
"""

START = """
import os, sys
from pathlib import Path
{first}
from kansearch.errors import KansearchError
from kansearch.cluster.loopback import local_ray
from tests.helpers import listening

try:
    with local_ray():
        import ray

        assert ray.get(ray.remote(lambda: "ran").remote()) == "ran"
        print(sorted(listening(os.getpid())))
        (folder,) = Path(os.environ["RAY_TMPDIR"]).parent.glob("kr-*")
        print(oct(folder.stat().st_mode), (folder / "ray").is_dir())
except KansearchError as error:
    import ray

    print(ray.is_initialized(), listening(os.getpid()))
    print(error)
print(os.environ["RAY_TMPDIR"] == sys.argv[1], list(Path(sys.argv[1]).glob("kr-*")))
"""


@contextmanager
def listener(address: str) -> Iterator[int]:
    """A process of ours that takes connections at `address`; its port."""
    words = [sys.executable, "-c", LISTEN, address]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.communicate("\n")


def start(first: str) -> list[str]:
    """Lines that a process prints which starts Ray after the statement `first`."""
    with TemporaryDirectory() as folder:  # of its own: other tests of this process have a Ray in theirs
        env = environment(RAY_TMPDIR=folder)
        del env["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"]
        words = [sys.executable, "-c", START.format(first=first), folder]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_port_that_a_child_opens_to_others_is_seen(address: str) -> None:
    with listener(address) as port:
        assert f"{address}:{port}" in open_to_others().values()
    assert f"{address}:{port}" not in open_to_others().values()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.8.8"])
def test_a_port_on_loopback_is_open_to_nobody_else(address: str) -> None:
    with listener(address):
        assert open_to_others() == {}


def test_another_process_of_this_machine_is_not_ours() -> None:
    """A grandchild whose parent has ended is a child of nobody here."""
    code = f"import os\nif os.fork(): os._exit(0)\n{LISTEN}"
    words = [sys.executable, "-c", code, "0.0.0.0"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline()
        process.wait()
        assert open_to_others() == {}


def test_ray_enable_windows_or_osx_cluster_0_keeps_ray_on_loopback_and_its_folder_is_private() -> None:
    listening, folder, after = start("")
    assert listening == "['0000000000000000FFFF00000100007F', '0100007F']"
    assert folder == "0o40700 True"
    assert after == "True []", "the environment is as before, and the folder is gone"


def test_a_ray_that_listens_everywhere_is_ended_in_one_line() -> None:
    """It was imported before it could be told to keep to itself."""
    ended, line, after = start("import ray")
    assert ended == "False set()"
    assert re.match(r"Ray \d+\.\d+\.\d+ listens on \S+:\d+, .* Ray 2\.60 keeps to 127\.0\.0\.1", line)
    assert after == "True []"


def test_a_token_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    modes: list[int] = []
    link = os.link
    monkeypatch.setattr(os, "link", lambda new, token: (modes.append(new.stat().st_mode & 0o777), link(new, token)))
    before = os.umask(0)
    try:
        make_private_token()
    finally:
        os.umask(before)
    token = tmp_path / ".ray/auth_token"
    assert modes == [0o600], "before it has its name"
    assert token.stat().st_mode & 0o777 == 0o600
    text = token.read_text()
    assert re.fullmatch(r"[0-9a-f]{64}", text)
    token.chmod(0o644)
    make_private_token()
    assert token.stat().st_mode & 0o777 == 0o600 and token.read_text() == text
    assert [path.name for path in token.parent.iterdir()] == ["auth_token"]


def test_a_token_of_the_users_own_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    make_private_token()
    assert list(tmp_path.iterdir()) == []
