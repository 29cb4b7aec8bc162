"""Many writers on SQLite at once: they wait in line, and nobody is refused."""

import concurrent.futures
import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from email_settings.models import OutboxMessage, SesSettings
from email_settings.tests.builders import make_message

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        settings.DATABASES["default"]["ENGINE"] != "ticketflow.lib.fairsqlite",
        reason="SQLite is not the database",
    ),
]

EACH = 25

# Waits for the writers' lock as another process does, and says when it has it.
_LOCK_ELSEWHERE = """
import fcntl, sys
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


def lock_file() -> Path:
    return Path(f"{connection.settings_dict['NAME']}.writers")


def read_then_write() -> float:
    """Do what locks up under SQLite's defaults; return the longest wait in seconds."""
    longest = 0.0
    try:
        for _ in range(EACH):
            began = time.monotonic()
            with transaction.atomic():
                OutboxMessage.objects.filter(state="queued").count()
                make_message()
            longest = max(longest, time.monotonic() - began)
    finally:
        connection.close()
    return longest


def test_eight_writers_are_never_refused() -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(read_then_write) for _ in range(8)]
        longest = max(wait.result() for wait in waits)
    assert OutboxMessage.objects.count() == 8 * EACH
    assert longest < 10  # far below the patience of twenty seconds


def is_free() -> bool:
    """Whether somebody else could write now."""
    with lock_file().open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def write_and_fail() -> None:
    with transaction.atomic():
        make_message()
        assert not is_free()
        raise RuntimeError


def test_line_moves_on_after_a_commit_a_rollback_and_a_close() -> None:
    with transaction.atomic():
        make_message()
    assert is_free()
    with pytest.raises(RuntimeError):
        write_and_fail()
    assert is_free()
    connection.close()
    make_message()
    assert is_free()


def test_line_moves_on_after_an_error_in_sql() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        connection.cursor().execute("SELECT nothing FROM nowhere")
    assert is_free()


def test_inner_transaction_does_not_wait_for_the_outer_one() -> None:
    with transaction.atomic():
        make_message()
        with transaction.atomic():
            make_message()
    assert OutboxMessage.objects.count() == 2


def test_readers_do_not_wait_for_a_writer() -> None:
    SesSettings.load()
    wrote, has_read = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            make_message()
            wrote.set()
            assert has_read.wait(10)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert wrote.wait(10)
    began = time.monotonic()
    assert OutboxMessage.objects.count() == 0
    assert time.monotonic() - began < 2
    has_read.set()
    writer.join()


def test_writer_waits_for_another_process() -> None:
    make_message()
    other = subprocess.Popen(
        [sys.executable, "-c", _LOCK_ELSEWHERE, str(lock_file())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    done: list[float] = []

    def write() -> None:
        with transaction.atomic():
            make_message()
        done.append(time.monotonic())
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.3)
    assert writer.is_alive()  # in line behind the other process
    other.communicate("")
    writer.join(10)
    assert len(done) == 1
