"""A TCP proxy before a database server that cuts a connection at the worst moment: committed, and not yet answered."""

from __future__ import annotations

import select
import socket
import threading
from types import TracebackType

__all__ = ["Proxy"]


class Proxy:
    """Listens on loopback, `port`, and passes every connection on to `server_port`. A context manager."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self._statement: bytes | None = None
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def cut_after(self, statement: bytes) -> None:
        """Cut the next connection that commits `statement`, once the server has done it, before the answer."""
        self._statement = statement

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            if select.select([self._listener], [], [], 0.1)[0]:
                thread = threading.Thread(target=self._pass_on, args=(self._listener.accept()[0],))
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, client: socket.socket) -> None:
        """Copy both ways until either side is done, the proxy ends, or the connection is to be cut."""
        committing = False
        seen = b""
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            while not self._ended.is_set():
                for source in select.select([client, server], [], [], 0.1)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is server and committing:
                        self.cuts += 1
                        return
                    (server if source is client else client).sendall(data)
                    if source is client and self._statement is not None:
                        seen += data
                        committing = self._statement in seen and b"COMMIT" in seen.partition(self._statement)[2]
                        self._statement = None if committing else self._statement
