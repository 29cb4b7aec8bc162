"""The probes for machines, and the doctor for people."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from email_settings.credentials import store_secret
from email_settings.models import OutboxMessage, SesSettings, WorkerHeartbeat


@pytest.fixture
def running_worker(db: None) -> WorkerHeartbeat:
    return WorkerHeartbeat.objects.create(name="worker@here")


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
    row = SesSettings(access_key_id="AKIAIOSFODNN7EXAMPLE", region="eu-west-1")
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
    running_worker.beat_at = timezone.now() - timedelta(seconds=61)
    running_worker.save()
    response = client.get("/readyz")
    assert (response.status_code, response.content) == (503, b"not ready\n")
    text, code = doctor()
    assert code == 1
    assert (
        "WRONG  Worker: No worker is running. It was last seen 1\xa0minute ago." in text
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
    assert code == 1
    assert f"The file {key_file} is missing" in text
    assert not key_file.exists()


@pytest.mark.usefixtures("running_worker")
def test_key_file_that_others_may_read_is_found(key_file: Path) -> None:
    save_keys()
    key_file.chmod(0o644)
    text, code = doctor()
    assert code == 1
    assert f"chmod 600 {key_file}" in text


@pytest.mark.usefixtures("running_worker")
def test_another_installations_key_file_is_found(key_file: Path) -> None:
    save_keys()
    key_file.unlink()
    store_secret(SesSettings(), "anything")  # makes a new key file
    text, code = doctor()
    assert code == 1
    assert "is not in" in text
