"""`ServerLock`: one driver a study in a PostgreSQL database, whatever folder each believes the study to be in.

It is an advisory lock of the session, which the server drops when the session ends. The driver writes in that session
and in no other: a write that succeeds is one by the holder. After a restart of the server the next write takes the lock
again first.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine

from kansearch.errors import StudyBusyError

__all__ = ["LockLost", "ServerLock"]

_OURS = int.from_bytes(b"kans")
"""The first half of the lock's key; the study's id in the database is the second."""
_HELD = "kansearch:lock"
_LONGEST_WAIT_SECONDS = 3.0  # for the session of a driver that was killed
_PAUSE_SECONDS = 0.2
_NAME_LENGTH = 63  # PostgreSQL's, of an application

_TAKE = text("SELECT pg_try_advisory_lock(CAST(:ours AS int), CAST(:study AS int))")
_FREE = text("SELECT pg_advisory_unlock(CAST(:ours AS int), CAST(:study AS int))")
_PREPARE = (
    text("SELECT set_config('application_name', :name, false)"),
    text("SELECT set_config('tcp_keepalives_idle', '30', false)"),  # a machine that is lost loses its lock in a minute
    text("SELECT set_config('tcp_keepalives_interval', '10', false)"),
    text("SELECT set_config('tcp_keepalives_count', '3', false)"),
)
_HOLDER = text(
    "SELECT activity.pid, activity.application_name FROM pg_locks AS locks "
    "JOIN pg_stat_activity AS activity ON activity.pid = locks.pid "
    "JOIN pg_database AS here ON here.oid = locks.database AND here.datname = current_database() "
    "WHERE locks.locktype = 'advisory' AND locks.granted "
    "AND locks.classid = CAST(:ours AS oid) AND locks.objid = CAST(:study AS oid) AND locks.objsubid = 2"
)


class LockLost(Exception):
    """Another driver has the lock, which this one had until its connection broke."""


class ServerLock:
    """The lock of a study in the database behind `engine`; `take` it, write in it, `free` it."""

    def __init__(self, engine: Engine, study_id: int, study: str) -> None:
        self._engine = engine
        self._study = study
        self._key = {"ours": _OURS, "study": study_id}
        self._connection: Connection | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            StudyBusyError: another session has it; the message names the process.
        """
        give_up_at = time.monotonic() + _LONGEST_WAIT_SECONDS
        self._connection = self._engine.connect()
        while True:
            with self._connection.begin():
                if self._hold(self._connection):
                    return
                holder = self._holder(self._connection)
            if time.monotonic() >= give_up_at:
                self._connection.close()
                raise StudyBusyError(f"study '{self._study}' is being run by {holder}, on the same database")
            time.sleep(_PAUSE_SECONDS)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction in the session that holds the lock.

        Raises:
            LockLost: the session is a new one, and another driver was faster.
        """
        assert self._connection is not None, "the lock is taken first"
        with self._connection.begin():
            if not self._hold(self._connection):
                raise LockLost(f"study '{self._study}' was taken over by {self._holder(self._connection)}")
            yield self._connection

    def free(self) -> None:
        """Give the lock back, unless it went with its session."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if not connection.invalidated and connection.info.pop(_HELD, False):
            with connection.begin():
                connection.execute(_FREE, self._key)
        connection.close()

    def _hold(self, connection: Connection) -> bool:
        """Whether this session has the lock; it is taken where it is free."""
        if connection.info.get(_HELD):
            return True
        name = f"kansearch, process {os.getpid()} on {socket.gethostname()}"[:_NAME_LENGTH]
        for statement in _PREPARE:
            connection.execute(statement, {"name": name} if statement is _PREPARE[0] else {})
        connection.info[_HELD] = bool(connection.execute(_TAKE, self._key).scalar_one())
        return bool(connection.info[_HELD])

    def _holder(self, connection: Connection) -> str:
        """Who has the lock. The name of a session is seen by its own user alone."""
        found: Any = connection.execute(_HOLDER, self._key).first()
        if found is None:
            return "another process"
        name = str(found.application_name or "")
        who = name.removeprefix("kansearch, ") if name.startswith("kansearch, ") else "another process"
        return f"{who} (session {found.pid} of the server)"
