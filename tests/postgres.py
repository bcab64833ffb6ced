"""A PostgreSQL server of the tests' own: Debian's binaries, a new folder, loopback alone, stopped at the end."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers import wait_until

__all__ = ["PostgresServer", "binaries", "postgres_fixture", "running_server"]

_USER = "kansearch"


def binaries() -> Path | None:
    """Folder of `initdb` and `postgres`: Debian keeps them out of PATH; the newest. None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class PostgresServer:
    """A server that can be killed and started again on the same port and data. `fsync` is on, as by default."""

    def __init__(self, folder: Path) -> None:
        """Make the cluster in `folder`, which must not exist, and start it."""
        found = binaries()
        assert found is not None, "PostgreSQL is not installed"
        self._bin, self._folder, self._password = found, folder, secrets.token_hex(8)
        self._account = _unprivileged()
        folder.mkdir(mode=0o700)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        (folder / "password").write_text(self._password)
        if self._account is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, self._account, self._account)
        method = ("--auth=scram-sha-256", f"--pwfile={folder}/password")
        self._run("initdb", "-D", f"{folder}/data", "-U", _USER, *method, "-E", "UTF8", "--no-locale", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        place = ("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._folder))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._folder / "data", *place],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._account,
                group=self._account,
                extra_groups=None if self._account is None else [],
            )
        wait_until(self._answers, 60)

    def kill(self) -> None:
        """SIGKILL, as a crash does; PostgreSQL's other processes end when they notice."""
        self._process.kill()
        self._process.wait()
        wait_until(lambda: not _alive_in(self._folder / "data"), 60)

    def stop(self) -> None:
        """End it, whoever is connected; nothing where it was killed."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def database(self, name: str) -> str:
        """URL of a new, empty database."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database; libpq reads the same."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        asked = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            user=self._account,
            group=self._account,
            extra_groups=None if self._account is None else [],
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: whom root runs it as; None for oneself."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in accounts else "nobody"


def _alive_in(data: Path) -> bool:
    """Whether a process of the cluster `data` is left: its working directory is there."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == data:
                return True
        except OSError:
            continue  # it ended while we looked, or is another user's
    return False


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server in a new folder, which may be killed and started again, and is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kp-"))
    folder.chmod(0o711)  # it is another user's who goes through
    server = PostgresServer(folder / "server")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session", name="postgres")
def postgres_fixture() -> Iterator[PostgresServer]:
    """One server for all tests; each takes a database of its own. It is up when a test ends."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian's package `postgresql`)")
    with running_server() as server:
        yield server
