"""The journal tells what a dead worker never sent from what it may have sent."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from email_settings.delivery import journal, recovery
from email_settings.delivery.claim import Claim
from email_settings.delivery.journal import Journal, LeftBehind
from email_settings.delivery.pump import Pump
from email_settings.delivery.slots import Slots
from email_settings.models import DeliveryAttempt, OutboxMessage
from email_settings.pacing import NoPace
from email_settings.tests.builders import make_claim, make_message, make_settings
from email_settings.tests.fake_ses import FakeGateway

State = OutboxMessage.State
Result = DeliveryAttempt.Outcome


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, settings: Settings) -> Path:
    """Keep the journals of this test apart."""
    settings.DATA_DIR = tmp_path
    return tmp_path / "wire"


def left() -> list[LeftBehind]:
    return list(journal.left_behind())


def only_left() -> LeftBehind:
    (found,) = left()
    return found


def dead_journal(
    *, started: list[uuid.UUID] | None = None, accepted: list[uuid.UUID] | None = None
) -> Path:
    """Write what a worker leaves that is killed after these calls."""
    owner = Journal()
    for attempt in [*(started or []), *(accepted or [])]:
        assert owner.may_start(attempt)
    for attempt in accepted or []:
        owner.accepted(attempt, "0100-a")
    owner.let_go()
    return owner._path


# The file


def test_owner_that_lives_keeps_its_journal_to_itself() -> None:
    owner = Journal()
    owner.may_start(uuid.uuid4())
    assert left() == []
    owner.close()


def test_dead_owner_tells_what_was_on_the_wire_and_what_was_taken() -> None:
    on_the_wire, taken = uuid.uuid4(), uuid.uuid4()
    path = dead_journal(started=[on_the_wire], accepted=[taken])
    found = only_left()
    assert (found.path, found.run) == (path, path.stem)
    assert found.started == {on_the_wire, taken}
    assert found.accepted == {taken: "0100-a"}
    assert found.is_whole


def test_only_its_owner_may_read_it(own_folder: Path) -> None:
    path = dead_journal()
    assert own_folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_claim_tokens_begin_with_the_name_of_the_run_and_fit() -> None:
    owner = Journal()
    tokens = {owner.next_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {32}
    assert all(token.startswith(owner.run) for token in tokens)
    owner.close()


def test_finished_run_leaves_nothing(own_folder: Path) -> None:
    owner = Journal()
    owner.may_start(uuid.uuid4())
    owner.close()
    assert list(own_folder.iterdir()) == []


def test_settled_calls_are_forgotten_and_the_rest_is_noted_as_before() -> None:
    owner = Journal()
    size = owner._path.stat().st_size
    owner.may_start(uuid.uuid4())
    owner.forget()
    assert owner._path.stat().st_size == size
    later = uuid.uuid4()
    owner.may_start(later)
    owner.let_go()
    assert only_left().started == {later}
    assert only_left().is_whole


def test_many_threads_write_whole_lines() -> None:
    owner = Journal()
    numbers = [[uuid.uuid4() for _ in range(200)] for _ in range(8)]

    def note(own: list[uuid.UUID]) -> None:
        for number in own:
            owner.may_start(number)
            owner.accepted(number, f"0100-{number}")

    threads = [threading.Thread(target=note, args=(own,)) for own in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owner.let_go()
    found = only_left()
    assert len(found.started) == len(found.accepted) == 1600
    assert found.is_whole


def test_line_that_was_cut_is_a_call_that_had_not_begun() -> None:
    path = dead_journal(started=[uuid.uuid4()])
    with path.open("ab") as file:
        file.write(b"W " + uuid.uuid4().hex.encode()[:20])
    assert len(only_left().started) == 1
    assert only_left().is_whole


def test_id_that_was_cut_is_no_id() -> None:
    attempt = uuid.uuid4()
    path = dead_journal(started=[attempt])
    with path.open("ab") as file:
        file.write(b"A " + attempt.hex.encode() + b" 0100-")
    assert only_left().accepted == {}


@pytest.mark.parametrize("line", [b"\0" * 40, b"W nonsense", b"X", b"A 12 b", b""])
def test_line_that_can_not_be_read_makes_silence_worthless(line: bytes) -> None:
    path = dead_journal()
    with path.open("ab") as file:
        file.write(line + b"\n")
    assert not only_left().is_whole


def test_silence_counts_only_within_one_start_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead_journal()
    monkeypatch.setattr(journal, "_boot_id", lambda: "the next start")
    assert not only_left().is_whole


def test_silence_of_a_copy_from_a_backup_counts_for_nothing() -> None:
    path = dead_journal()
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)
    assert not only_left().is_whole


def test_file_that_is_just_being_made_is_left_alone(own_folder: Path) -> None:
    own_folder.mkdir()
    path = own_folder / "new.log"
    path.touch()
    assert left() == []
    assert path.exists()
    old = (timezone.now() - timedelta(days=1)).timestamp()
    os.utime(path, (old, old))
    assert left() == []
    assert not path.exists()


def test_two_do_not_replay_the_same_journal_at_once() -> None:
    dead_journal()
    first = journal.left_behind()
    next(first)
    assert left() == []
    first.close()  # type: ignore[attr-defined]
    assert len(left()) == 1


def test_no_folder_is_no_error() -> None:
    assert left() == []


def test_process_number_is_no_sign_of_life(tmp_path: Path) -> None:
    """A killed owner is dead, whoever has its number now."""
    code = (
        "import sys, time, django; django.setup()\n"
        "from email_settings.delivery.journal import Journal\n"
        "owner = Journal(); print(owner.run, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ticketflow.settings"}
        | {"TICKETFLOW_DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout as output:
        run = output.readline().strip()
        assert left() == []
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert only_left().run == run


def test_child_process_does_not_keep_the_journal_of_a_dead_parent_locked() -> None:
    owner = Journal()
    owner.may_start(uuid.uuid4())
    go_on, may_end = os.pipe()
    was_born, born = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(born, b".")
        os.read(go_on, 1)  # until the parent has looked
        os._exit(0)
    os.read(was_born, 1)
    owner.let_go()  # as death would
    try:
        assert len(left()) == 1
    finally:
        os.write(may_end, b".")
        os.waitpid(child, 0)
        for descriptor in (go_on, may_end, was_born, born):
            os.close(descriptor)


def test_child_process_neither_writes_to_nor_removes_its_parents_journal() -> None:
    owner = Journal()
    size = owner._path.stat().st_size
    child = os.fork()
    if child == 0:
        owner.may_start(uuid.uuid4())
        owner.accepted(uuid.uuid4(), "0100-a")
        owner.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert owner._path.stat().st_size == size
    owner.close()


# Where it can't be kept


def fail(error_number: int) -> Any:
    def failing(*arguments: Any) -> Any:
        raise OSError(error_number, os.strerror(error_number))

    return failing


@pytest.mark.parametrize("name", ["flock", "open", "mkdir"])
def test_folder_that_can_not_be_used_is_said_once_and_stops_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "_has_warned", False)
    with monkeypatch.context() as broken:
        if name == "flock":
            broken.setattr(fcntl, "flock", fail(errno.ENOLCK))
        elif name == "open":
            broken.setattr(os, "open", fail(errno.EACCES))
        else:
            broken.setattr(Path, "mkdir", lambda *a, **k: fail(errno.EROFS)())
        for _ in range(3):
            owner = Journal()
            assert owner.may_start(uuid.uuid4())
            owner.accepted(uuid.uuid4(), "0100-a")
            owner.forget()
            owner.close()
    assert caplog.text.count("can't be kept") == 1
    assert left() == []


def test_full_disk_takes_the_journal_away_before_the_call_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else its silence would be taken for "never sent"."""
    owner = Journal()
    with monkeypatch.context() as full:
        full.setattr(os, "write", fail(errno.ENOSPC))
        assert owner.may_start(uuid.uuid4())
        assert not owner._path.exists()
    assert owner.may_start(uuid.uuid4())
    owner.close()
    assert left() == []


def test_line_that_was_written_in_part_takes_the_journal_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = Journal()
    monkeypatch.setattr(os, "write", lambda descriptor, line: len(line) - 3)
    assert owner.may_start(uuid.uuid4())
    assert not owner._path.exists()
    owner.close()


def test_no_call_is_made_in_the_name_of_a_journal_that_lies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = Journal()
    with monkeypatch.context() as frozen:
        frozen.setattr(os, "write", fail(errno.EROFS))
        frozen.setattr(Path, "unlink", lambda *a, **k: fail(errno.EROFS)())
        assert not owner.may_start(uuid.uuid4())
    assert owner.is_stuck
    assert not owner.may_start(uuid.uuid4())
    owner.close()


# Recovering by it


def fail_as_database(left: LeftBehind) -> None:
    raise OperationalError("server closed the connection")


def claim_of(run: Journal) -> Claim:
    """Lease a message in the name of that run."""
    claimed = make_claim(make_message(), make_settings())
    OutboxMessage.objects.filter(pk=claimed.message.pk).update(
        claim_token=run.next_token()
    )
    return claimed


def fresh(claimed: Claim) -> OutboxMessage:
    return OutboxMessage.objects.get(pk=claimed.message.pk)


@pytest.mark.django_db
def test_dead_workers_mail_is_queued_sent_or_unknown_by_what_it_wrote_down(
    own_folder: Path,
) -> None:
    run = Journal()
    waiting, on_the_wire, taken = (claim_of(run) for _ in range(3))
    run.may_start(on_the_wire.attempt.uid)
    run.may_start(taken.attempt.uid)
    run.accepted(taken.attempt.uid, "0100-taken")
    run.let_go()
    recovery.recover()

    row = fresh(waiting)
    assert (row.state, row.attempts, row.claim_token) == (State.QUEUED, 0, "")
    assert row.attempt_set.get().outcome == Result.NOT_SENT
    row = fresh(on_the_wire)
    assert (row.state, row.reason_code) == (State.UNKNOWN, "worker_stopped")
    assert row.attempt_set.get().outcome == Result.UNKNOWN
    row = fresh(taken)
    assert (row.state, row.ses_message_id) == (State.SENT, "0100-taken")
    assert row.attempt_set.get().outcome == Result.ACCEPTED
    assert list(own_folder.iterdir()) == []
    recovery.recover()
    assert fresh(waiting).attempts == 0


@pytest.mark.django_db
def test_mail_of_a_worker_that_lives_is_left_alone() -> None:
    run = Journal()
    claimed = claim_of(run)
    recovery.recover()
    assert fresh(claimed).state == State.SENDING
    run.close()


@pytest.mark.django_db
def test_journal_speaks_for_its_own_run_only() -> None:
    run, other = Journal(), Journal()
    claimed = claim_of(other)
    run.let_go()
    recovery.recover()
    assert fresh(claimed).state == State.SENDING
    other.close()


@pytest.mark.django_db
def test_after_a_power_cut_the_lease_decides_about_what_is_not_in_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Journal()
    not_named, taken = claim_of(run), claim_of(run)
    run.may_start(taken.attempt.uid)
    run.accepted(taken.attempt.uid, "0100-taken")
    run.let_go()
    monkeypatch.setattr(journal, "_boot_id", lambda: "the next start")
    recovery.recover()
    assert fresh(not_named).state == State.SENDING
    assert fresh(taken).state == State.SENT


@pytest.mark.django_db
def test_journal_that_comes_after_the_lease_ended_still_tells_what_was_taken() -> None:
    run = Journal()
    taken = claim_of(run)
    OutboxMessage.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    recovery.recover()
    assert fresh(taken).state == State.UNKNOWN
    run.may_start(taken.attempt.uid)
    run.accepted(taken.attempt.uid, "0100-taken")
    run.let_go()
    recovery.recover()
    assert fresh(taken).state == State.SENT


@pytest.mark.django_db
def test_journal_stays_when_the_database_can_not_take_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = dead_journal()
    with monkeypatch.context() as away:
        away.setattr(recovery, "_replay", fail_as_database)
        with pytest.raises(OperationalError):
            recovery.recover()
    assert path.exists()
    recovery.recover()
    assert not path.exists()


# Kept by the pump


def run_pump(gateway: Any) -> Pump:
    running = Pump(
        choose_gateway=lambda sender: gateway,
        slots=Slots(2),
        pace_for=lambda sender: NoPace(),
    )
    running.run()
    return running


@pytest.mark.django_db
def test_call_is_in_the_journal_before_it_is_made_and_its_answer_at_once(
    own_folder: Path,
) -> None:
    make_settings()
    make_message()
    make_message()
    seen: list[bytes] = []

    class Looking(FakeGateway):
        def send(self, outgoing: Any) -> str:
            (path,) = own_folder.glob("*.log")
            attempt = outgoing.tags["tf-att"]
            seen.append(b"W %s\n" % attempt.encode())
            assert seen[-1] in path.read_bytes()
            return super().send(outgoing)

    run_pump(Looking())
    assert len(seen) == 2
    assert OutboxMessage.objects.filter(state=State.SENT).count() == 2
    assert list(own_folder.iterdir()) == []


@pytest.mark.django_db
def test_answer_is_in_the_journal_before_the_database_knows(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_settings()
    message = make_message()
    seen: list[bytes] = []
    monkeypatch.setattr(
        "email_settings.delivery.pump.settle",
        lambda outcomes: seen.extend(
            next(own_folder.glob("*.log")).read_bytes() for _ in outcomes
        ),
    )
    run_pump(FakeGateway())
    attempt = message.attempt_set.get()
    assert b"A %s fake-1\n" % attempt.uid.hex.encode() in seen[0]


@pytest.mark.django_db
def test_mail_leaves_without_a_journal(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder.write_text("no folder")
    make_settings()
    make_message()
    run_pump(FakeGateway())
    assert OutboxMessage.objects.get().state == State.SENT


@pytest.mark.django_db
def test_mail_is_given_back_while_the_journal_is_stuck_and_leaves_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_settings()
    make_message()
    gateway = FakeGateway()
    with monkeypatch.context() as stuck:
        stuck.setattr(Journal, "is_stuck", True, raising=False)
        stuck.setattr(Journal, "may_start", lambda self, attempt: False)
        run_pump(gateway)
    row = OutboxMessage.objects.get()
    assert (row.state, row.attempts, gateway.sent) == (State.QUEUED, 0, [])
    run_pump(gateway)
    assert OutboxMessage.objects.get().state == State.SENT
