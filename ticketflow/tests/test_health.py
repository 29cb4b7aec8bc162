"""The probes for machines, and the doctor for people."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from email_settings.credentials import store_secret
from email_settings.models import (
    Lane,
    MailWatch,
    OutboxMessage,
    ReadinessLine,
    SesSettings,
    WorkerHeartbeat,
)
from email_settings.tests.builders import make_settings
from ticketflow import health, views
from ticketflow.lib import encryption


@pytest.fixture
def running_worker(db: None) -> WorkerHeartbeat:
    return WorkerHeartbeat.objects.create(name="worker@here", task_at=timezone.now())


@pytest.fixture
def key_file(settings: Any, tmp_path: Path) -> Path:
    settings.KEYS_FILE = tmp_path / "keys"
    return tmp_path / "keys"


@pytest.fixture
def database_is_away(db: None) -> Iterator[None]:
    def refuse(*_: object) -> None:
        raise OperationalError("connection to server at 127.0.0.1 refused")

    with connection.execute_wrapper(refuse):
        yield


def doctor() -> tuple[str, int]:
    out = StringIO()
    try:
        call_command("doctor", stdout=out)
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


def make_due_mail(*, minutes_ago: int) -> OutboxMessage:
    return OutboxMessage.objects.create(
        kind="test",
        recipient="hannah@larkfield.example",
        subject="Hello",
        text_body="Hello",
        due_at=timezone.now() - timedelta(minutes=minutes_ago),
    )


def save_keys() -> None:
    row = SesSettings.load()
    row.access_key_id, row.region = "AKIAIOSFODNN7EXAMPLE", "eu-west-1"
    row.from_email = "help@larkfield.example"
    store_secret(row, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    row.save()


@pytest.mark.django_db
def test_healthz_is_ok_for_anybody_and_says_no_more(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert "no-store" in response["Cache-Control"]


@pytest.mark.usefixtures("database_is_away")
def test_database_that_is_away_is_found_and_not_told_to_strangers(
    client: Client,
) -> None:
    for path, word in {"/healthz": b"not ok\n", "/readyz": b"not ready\n"}.items():
        response = client.get(path)
        assert (response.status_code, response.content) == (503, word)
    text, code = doctor()
    assert code == 1
    assert text.startswith("WRONG  Database: It does not answer: connection to server")
    assert "DATABASE_URL" in text
    # What needs no database is looked at all the same.
    assert "Disk:" in text
    assert "Keys:" in text


@pytest.mark.usefixtures("running_worker", "key_file")
def test_everything_is_well_while_a_worker_runs(client: Client) -> None:
    make_due_mail(minutes_ago=4)
    response = client.get("/readyz")
    assert (response.status_code, response.content) == (200, b"ready\n")
    text, code = doctor()
    assert code == 0
    assert "WRONG" not in text


@pytest.mark.usefixtures("key_file")
def test_silent_worker_is_found(
    client: Client, running_worker: WorkerHeartbeat
) -> None:
    running_worker.beat_at = timezone.now() - timedelta(seconds=36)
    running_worker.save()
    response = client.get("/readyz")
    assert (response.status_code, response.content) == (503, b"not ready\n")
    text, code = doctor()
    assert code == 1
    assert (
        "WRONG  Worker: No worker is running. It was last seen 0\xa0minutes ago."
        in text
    )
    assert "make run" in text


@pytest.mark.usefixtures("key_file", "db")
def test_worker_that_never_ran_is_found() -> None:
    text, code = doctor()
    assert code == 1
    assert "None ever ran." in text


@pytest.mark.usefixtures("running_worker", "key_file")
def test_late_mail_is_found(client: Client) -> None:
    make_due_mail(minutes_ago=6)
    assert client.get("/readyz").status_code == 503
    text, code = doctor()
    assert code == 1
    assert "The oldest was due 6\xa0minutes ago and is still waiting." in text


@pytest.mark.usefixtures("running_worker", "key_file")
def test_held_mail_and_mail_for_later_are_not_late(client: Client) -> None:
    OutboxMessage.objects.filter(pk=make_due_mail(minutes_ago=60).pk).update(
        state=OutboxMessage.State.HELD
    )
    make_due_mail(minutes_ago=-10)
    assert client.get("/readyz").status_code == 200


@pytest.mark.usefixtures("running_worker")
def test_lost_key_file_is_found_and_none_is_made_in_its_place(
    client: Client, key_file: Path
) -> None:
    save_keys()
    assert client.get("/readyz").status_code == 200
    key_file.unlink()
    assert client.get("/readyz").status_code == 503
    text, code = doctor()
    assert code == 2
    assert f"The key file {key_file} is missing" in text
    assert "1 of 1 stored values can't be read" in text
    assert not key_file.exists()


@pytest.mark.usefixtures("running_worker")
def test_key_file_that_others_may_read_is_found(key_file: Path) -> None:
    save_keys()
    key_file.chmod(0o644)
    text, code = doctor()
    assert code == 2
    assert f"chmod 600 {key_file}" in text


@pytest.mark.usefixtures("running_worker")
def test_another_installations_key_file_is_found(
    client: Client, key_file: Path
) -> None:
    save_keys()
    key_file.unlink()
    encryption.create_key_file()
    assert client.get("/readyz").status_code == 503
    text, code = doctor()
    assert code == 2
    lost = SesSettings.load().secret_access_key_encrypted.split(":")[1]
    assert f"WRONG  Keys: Key {lost}: 1 of 1 stored values can't be read." in text


@pytest.mark.usefixtures("key_file")
def test_schedule_that_stands_still_is_found(
    client: Client, running_worker: WorkerHeartbeat
) -> None:
    running_worker.task_at = timezone.now() - timedelta(seconds=90)
    running_worker.save()
    assert client.get("/readyz").status_code == 503
    text, code = doctor()
    assert code == 1
    assert "WRONG  Schedule: The worker lives, but its schedule stands still." in text


@pytest.fixture
def unknown_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code knows a migration that the database has not."""
    known = health._known_migrations() | {("tickets", "9999_later")}
    monkeypatch.setattr(health, "_all_were_applied", False)
    monkeypatch.setattr(health, "_known_migrations", lambda: known)


@pytest.mark.usefixtures("db", "unknown_migration")
def test_migration_that_is_not_applied_makes_both_probes_red(client: Client) -> None:
    assert client.get("/healthz").status_code == 503
    assert client.get("/readyz").status_code == 503
    text, code = doctor()
    assert code == 1
    assert "1 of this version are not applied, tickets.9999_later" in text
    assert "manage.py migrate" in text


@pytest.mark.django_db
def test_older_version_on_a_newer_schema_is_well(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = frozenset(list(health._known_migrations())[1:])
    monkeypatch.setattr(health, "_all_were_applied", False)
    monkeypatch.setattr(health, "_known_migrations", lambda: older)
    assert client.get("/healthz").status_code == 200


@pytest.mark.django_db
def test_migrations_are_asked_for_once_in_a_process(
    client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(health, "_all_were_applied", False)
    client.get("/healthz")
    with django_assert_num_queries(1):
        client.get("/healthz")


# What the log says


@pytest.fixture
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_told", {})


@pytest.mark.usefixtures("db", "key_file", "nothing_told")
def test_probe_that_is_red_tells_the_log_why_once_and_is_no_error(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert client.get("/readyz").status_code == 503
    assert [(r.levelname, r.name) for r in caplog.records] == [
        ("WARNING", "ticketflow.views")
    ]
    assert "Worker: No worker is running." in caplog.text
    WorkerHeartbeat.objects.create(name="worker@here", task_at=timezone.now())
    client.get("/readyz")
    assert caplog.messages[-1] == "probe: ready again"


@pytest.mark.django_db
def test_probe_that_fails_for_a_bug_is_an_error_with_its_traceback(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(health, "ready", fail)
    client.raise_request_exception = False
    assert client.get("/readyz").status_code == 500
    (record,) = [r for r in caplog.records if r.name == "django.request"]
    assert record.levelname == "ERROR"
    assert record.exc_info


@pytest.mark.django_db
def test_refusal_is_one_line_in_the_log(
    client: Client, requester: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(requester)
    assert client.get("/admin-panel/").status_code == 403
    (record,) = [r for r in caplog.records if r.name == "django.request"]
    assert record.levelname == "WARNING"
    assert record.exc_info is None


# What only the doctor says


@pytest.mark.usefixtures("running_worker", "key_file")
def test_doctor_says_how_mail_stands(admin: Any) -> None:
    save_keys()
    SesSettings.objects.update(
        mode="live",
        max_send_rate=14,
        max_24_hour_send=200,
        sent_last_24_hours=50,
        checked_at=timezone.now(),
        stopped_at=timezone.now(),
        stopped_by=admin,
    )
    held, doubtful = make_due_mail(minutes_ago=1), make_due_mail(minutes_ago=1)
    make_due_mail(minutes_ago=1)
    OutboxMessage.objects.filter(pk=held.pk).update(
        state="held", reason_code="stopped_by_hand", lane=Lane.SECURITY
    )
    OutboxMessage.objects.filter(pk=doubtful.pk).update(state="unknown")
    text, code = doctor()
    assert code == 0
    for line in (
        f"Hold: {admin} holds all mail since",
        "Due: 1 notice.",
        "Held: 1 security. An admin holds all mail.",
        "In doubt: 1 went out and no answer came.",
        "Rate: Up to 14 recipients per second.",
        "Quota: 50 of 200 recipients in the last 24 hours.",
    ):
        assert line in text


@pytest.mark.usefixtures("running_worker", "key_file")
def test_account_that_is_held_is_wrong_and_says_how_to_mend_it() -> None:
    save_keys()
    SesSettings.objects.update(
        mode="live",
        hold_code="key_unknown",
        hold_detail="The security token is invalid.",
        held_since=timezone.now(),
    )
    text, code = doctor()
    assert code == 1
    assert "AWS does not know this access key." in text
    assert "AWS says: The security token is invalid." in text
    assert "create a new access key" in text


@pytest.mark.usefixtures("running_worker", "key_file")
def test_doctor_says_what_the_checklist_found() -> None:
    save_keys()
    version = SesSettings.load().version
    given = {"settings_version": version}
    ReadinessLine.objects.create(key="region", state="done", said="Answers", **given)
    ReadinessLine.objects.create(key="dmarc", state="todo", said="Missing", **given)
    ReadinessLine.objects.create(key="mail_from", state="unneeded", **given)
    text, code = doctor()
    assert code == 0
    assert "1 of 2 lines of the checklist are done. To do: DMARC (Missing)." in text
    ReadinessLine.objects.create(
        key="clock", state="wrong", said="3 minutes slow", fix="Set it.", **given
    )
    text, code = doctor()
    assert code == 1
    assert "Server clock: 3 minutes slow." in text
    assert "Set it." in text


@pytest.mark.usefixtures("running_worker")
def test_fresh_installation_needs_no_key(key_file: Path) -> None:
    text, code = doctor()
    assert code == 0
    assert "Keys: None is needed yet." in text
    assert "Mode: Rehearsal" in text
    assert not key_file.exists()


@pytest.mark.usefixtures("running_worker", "key_file")
def test_redis_that_is_away_is_found_and_its_password_is_not_told(
    settings: Any,
) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1/0"
    text, code = doctor()
    assert code == 1
    assert "WRONG  Broker: Redis at 127.0.0.1:1 does not answer" in text
    assert "hunter2" not in text


@pytest.mark.usefixtures("running_worker", "key_file")
def test_full_disk_and_open_files_are_found(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    settings.DATA_DIR = folder
    secret_key = folder / "secret_key"
    secret_key.touch(mode=0o644)
    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 2**62)
    text, code = doctor()
    assert code == 1
    assert f"can read {secret_key}" in text
    assert "WRONG  Disk" in text
    secret_key.chmod(0o600)
    assert "is private" in doctor()[0]


@pytest.mark.usefixtures("running_worker", "key_file")
def test_data_folder_that_is_gone_is_found(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "nowhere"
    text, code = doctor()
    assert code == 1
    assert "nowhere cannot be written: No such file or directory." in text


# What becomes of mail


def watched(**values: object) -> None:
    make_settings()
    SesSettings.objects.update(configuration_set="set", event_queue_url="https://q")
    MailWatch.load()
    MailWatch.objects.update(**values)


def by_name(name: str) -> health.Finding:
    return next(found for found in health.examine() if found.name == name)


@pytest.mark.django_db
def test_mail_without_news_is_not_ready(client: Client) -> None:
    since = timezone.now() - timedelta(hours=2)
    watched(silence="unheard", silent_since=since, silent_count=27)
    found = by_name("Events")
    assert not found.is_well
    assert "27 mails left" in found.says
    assert "access policy of the queue" in found.fix
    assert not next(each for each in health.ready() if each.name == "Events").is_well
    # Whoever asks without signing in learns nothing of it.
    assert client.get("/readyz").content == b"not ready\n"


@pytest.mark.django_db
def test_canary_that_does_not_come_back_is_not_ready() -> None:
    watched()
    assert by_name("Canary").is_well
    at = timezone.now() - timedelta(minutes=20)
    OutboxMessage.objects.create(kind="canary", state="sent", created_at=at, sent_at=at)
    assert not by_name("Canary").is_well
    assert not next(each for each in health.ready() if each.name == "Canary").is_well


@pytest.mark.django_db
def test_doctor_knows_the_reputation() -> None:
    watched()
    assert "too little mail" in by_name("Reputation").says
    watched(mails=1000, bounced=90)
    found = by_name("Reputation")
    assert found.is_well
    assert "Bounces 9" in found.says
    SesSettings.objects.update(guarded_since=timezone.now())
    assert not by_name("Reputation").is_well
