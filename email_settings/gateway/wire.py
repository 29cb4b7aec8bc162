"""One call to AWS as the network sees it: whether it has begun, and when it must end.

The SDK tells neither. Its read timeout starts anew with every byte, so that an answer
that trickles in would occupy a thread for ever; and an error of TLS comes out the same
whether it met the handshake or the answer to a mail that was taken. Nor does it mind
how long a connection has lain idle.
"""

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.client import BaseClient

LOOK_EVERY_SECONDS = 1.0
# AWS closes what nobody uses, and a firewall forgets it and tells nobody. A mail written
# to such a connection gets no answer and is in doubt; a new handshake costs some 50 ms.
LONGEST_IDLE_SECONDS = 5.0


class Call:
    """One request and its answer, on whatever connection it gets."""

    def __init__(self, seconds: float) -> None:
        self.has_begun = False  # some of it may have reached the other side
        self.ends_at = time.monotonic() + seconds
        self._socket: socket.socket | None = None

    def begin(self, connected: socket.socket) -> None:
        """Note that the request is about to be written to this connection."""
        self._socket = connected
        self.has_begun = True

    def cut(self) -> None:
        """End the connection, which the waiting thread sees as one that was closed."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                # The plain socket's: that of TLS would forget its session under a reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_local = threading.local()
_open_calls: set[Call] = set()
_some_are_open = threading.Event()
_starting = threading.Lock()
_watching_process = 0


@contextlib.contextmanager
def one_call(*, seconds: float) -> Iterator[Call]:
    """Watch the one call that this thread makes in the block, and cut it off in time."""
    _start_watching()
    call = _local.call = Call(seconds)
    _open_calls.add(call)
    if not _some_are_open.is_set():  # setting it takes a lock
        _some_are_open.set()
    try:
        yield call
    finally:
        _open_calls.discard(call)
        _local.call = None


def watch(client: BaseClient) -> None:
    """Have the connections of this client tell of the calls that are made on them."""
    # Private, for want of a door; the tests of this module notice when it moves.
    session = cast(Any, client)._endpoint.http_session
    session._pool_classes_by_scheme.update(http=_Pool, https=_TlsPool)


class _Connection(AWSHTTPConnection):
    idle_since = math.inf

    def request(self, *args: Any, **kwargs: Any) -> Any:
        _connect_and_note(self)
        return super().request(*args, **kwargs)


class _TlsConnection(AWSHTTPSConnection):
    idle_since = math.inf

    def request(self, *args: Any, **kwargs: Any) -> Any:
        _connect_and_note(self)
        return super().request(*args, **kwargs)


def _connect_and_note(connection: AWSHTTPConnection | AWSHTTPSConnection) -> None:
    # Connecting is not sending: names, handshakes and the tunnel of a proxy come first.
    if connection.sock is None:
        connection.connect()
    call: Call | None = getattr(_local, "call", None)
    if call is not None:
        call.begin(connection.sock)


class _NothingStale:
    """Closes what has lain idle for too long before it is used again."""

    def _put_conn(self, connection: Any) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
        super()._put_conn(connection)  # type: ignore[misc]

    def _get_conn(self, timeout: float | None = None) -> Any:
        # Here and not in request(): the pool opens a closed one through its proxy.
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if time.monotonic() - connection.idle_since > LONGEST_IDLE_SECONDS:
            connection.close()
        return connection


class _Pool(_NothingStale, AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(_NothingStale, AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _start_watching() -> None:
    global _watching_process
    if _watching_process == os.getpid():  # a fork copies the number, not the thread
        return
    with _starting:
        if _watching_process != os.getpid():
            _watching_process = os.getpid()
            threading.Thread(
                target=_watch_for_ever, daemon=True, name="ses-watchdog"
            ).start()


def _watch_for_ever() -> None:
    while True:
        _some_are_open.wait()
        time.sleep(LOOK_EVERY_SECONDS)
        now = time.monotonic()
        for call in list(_open_calls):
            if now >= call.ends_at:
                call.cut()
        if not _open_calls:
            _some_are_open.clear()
            if _open_calls:  # one began in between
                _some_are_open.set()
