"""Rotation of the key that stored secrets are encrypted with."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import close_old_connections, connection
from django.utils import timezone
from pytest_django import Settings

from email_settings import credentials, keys
from email_settings.models import OutboxMessage, SesSettings
from email_settings.tests.builders import SECRET, make_message, make_settings
from email_settings.tests.workers import Site, make_site
from ticketflow.lib import encryption
from ticketflow.lib.encryption import TamperedError

pytestmark = pytest.mark.django_db


@pytest.fixture
def key_file(settings: Settings, tmp_path: Path) -> Path:
    """A key file of this test alone."""
    settings.KEYS_FILE = tmp_path / "keys"
    encryption.create_key_file()
    return tmp_path / "keys"


@pytest.fixture
def first_key(key_file: Path) -> str:
    return encryption.current_key_id()


def rotate(*options: str) -> str:
    out = StringIO()
    call_command("rotate_keys", *options, stdout=out)
    return out.getvalue()


def age(path: Path) -> None:
    """Make the key file look as if it was changed long ago."""
    before = timezone.now() - timedelta(hours=1)
    os.utime(path, (before.timestamp(), before.timestamp()))


def bodies() -> list[tuple[str, str]]:
    return [
        credentials.open_body(message)
        for message in OutboxMessage.objects.order_by("pk")
    ]


def test_everything_comes_under_a_new_key_and_reads_as_before(first_key: str) -> None:
    make_settings()
    make_message(is_secret=True)
    make_message(is_secret=True, html_body="")
    plain = make_message()
    before = bodies()
    said = rotate()
    new = encryption.current_key_id()
    assert new != first_key
    assert f"Key {new} is new" in said
    assert "4 values encrypted anew." in said
    assert {key_id: use.readable for key_id, use in keys.uses().items()} == {
        new: 4,
        first_key: 0,
    }
    assert credentials.read_secret(SesSettings.load()).reveal() == SECRET
    assert bodies() == before
    plain.refresh_from_db()
    assert plain.text_body == "Hello Hannah\n"


def test_more_rows_than_one_batch(
    first_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "BATCH", 2)
    for _ in range(5):
        make_message(is_secret=True)
    rotate()
    assert keys.uses()[encryption.current_key_id()].readable == 10


def test_dry_run_says_what_there_is_and_changes_nothing(
    first_key: str, key_file: Path
) -> None:
    before = make_settings().secret_access_key_encrypted
    file_before = key_file.read_text()
    said = rotate("--dry-run")
    assert f"Key {first_key} (first): 1 value\n" in said
    assert "Would make a new key and encrypt 1 value with it." in said
    assert key_file.read_text() == file_before
    assert SesSettings.load().secret_access_key_encrypted == before


def test_line_that_was_added_by_hand_is_used_and_no_other_made(
    first_key: str, key_file: Path
) -> None:
    make_settings()
    key_file.write_text(f"{encryption.new_key()}\n{key_file.read_text()}")
    by_hand = encryption.current_key_id()
    assert f"Would encrypt with {by_hand}" in rotate("--dry-run")
    assert f"Going on with {by_hand}" in rotate()
    assert encryption.key_ids() == [by_hand, first_key]
    assert keys.uses()[by_hand].readable == 1


def test_key_file_that_cannot_be_changed_tells_the_way_by_hand(
    first_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_settings()

    def refuse(*, before: str) -> str:
        raise encryption.KeyFileError("The key file can't be changed: Read-only.")

    monkeypatch.setattr(encryption, "add_key", refuse)
    with pytest.raises(CommandError, match="generate_key"):
        rotate()


def test_generated_key_fits_the_file(key_file: Path) -> None:
    out = StringIO()
    before = key_file.read_text()
    call_command("generate_key", stdout=out)
    assert key_file.read_text() == before
    key_file.write_text(out.getvalue() + before)
    assert len(encryption.key_ids()) == 2


def test_value_of_a_lost_key_stays_and_is_told(first_key: str, key_file: Path) -> None:
    make_settings()
    lost = make_message(is_secret=True)
    make_message(is_secret=True)
    old_file = key_file.read_text()
    key_file.unlink()
    encryption.create_key_file()
    make_settings()
    with pytest.raises(CommandError, match=f"the key {first_key}, which is not in"):
        rotate()
    stored = lost.text_body
    lost.refresh_from_db()
    assert lost.text_body == stored
    assert keys.uses()[first_key].unreadable == 4
    # The old file is found again: its lines are added, and nothing is left behind.
    key_file.write_text(key_file.read_text() + old_file)
    assert "4 values encrypted anew." in rotate()
    assert keys.uses()[encryption.current_key_id()].readable == 5


def test_no_key_file_is_made_where_values_need_the_lost_one(
    first_key: str, key_file: Path
) -> None:
    make_settings()
    key_file.unlink()
    with pytest.raises(CommandError, match="is missing"):
        rotate()
    assert not key_file.exists()


# Removing


def test_old_key_goes_only_when_nothing_needs_it_and_somebody_is_sure(
    first_key: str, key_file: Path
) -> None:
    make_settings()
    message = make_message(is_secret=True)
    said = rotate()
    assert f"Key {first_key} is needed by nothing" in said
    age(key_file)
    with pytest.raises(CommandError, match=f"would remove {first_key}.*--yes"):
        rotate("--remove-old")
    assert first_key in encryption.key_ids()
    # Something comes back under the old key, from a backup of one table, say.
    OutboxMessage.objects.filter(pk=message.pk).update(text_body=message.text_body)
    assert "no old key that nothing needs" in rotate("--remove-old", "--yes")
    assert first_key in encryption.key_ids()
    rotate()
    age(key_file)
    said = rotate("--remove-old", "--yes")
    assert first_key in said.rpartition("Removed")[2]
    assert encryption.key_ids() == [encryption.current_key_id()]
    assert keys.uses()[encryption.current_key_id()].readable == 3


def test_damaged_value_keeps_its_key(first_key: str, key_file: Path) -> None:
    row = make_settings()
    stored = row.secret_access_key_encrypted
    row.secret_access_key_encrypted = f"{stored[:-8]}AAAAAAA="
    row.save()
    with pytest.raises(CommandError, match="was changed"):
        rotate()
    age(key_file)
    assert "no old key that nothing needs" in rotate("--remove-old", "--yes")


def test_old_key_stays_while_something_may_be_on_its_way_with_it(
    first_key: str,
) -> None:
    make_settings()
    rotate()
    with pytest.raises(keys.KeysInUseError, match="Try again after"):
        rotate("--remove-old", "--yes")
    assert first_key in encryption.key_ids()


# While others write


def test_save_between_reading_and_locking_wins(
    first_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_settings()
    stale = SesSettings.load()
    saved = SesSettings.load()
    credentials.store_secret(saved, "B" * 40)
    saved.save()
    encryption.add_key(before=first_key)
    keys.reseal(stale)
    assert credentials.read_secret(SesSettings.load()).reveal() == "B" * 40


def test_body_that_was_wiped_meanwhile_stays_wiped(first_key: str) -> None:
    message = make_message(is_secret=True)
    OutboxMessage.objects.update(state="cancelled", text_body="", html_body="")
    encryption.add_key(before=first_key)
    assert keys.reseal(message) == 0
    message.refresh_from_db()
    assert message.text_body == ""


def test_value_copied_to_another_row_or_field_is_not_taken_along(
    first_key: str,
) -> None:
    one, other = make_message(is_secret=True), make_message(is_secret=True)
    OutboxMessage.objects.filter(pk=other.pk).update(text_body=one.text_body)
    encryption.add_key(before=first_key)
    other.refresh_from_db()
    with pytest.raises(TamperedError):
        keys.reseal(other)
    one.html_body = one.text_body
    with pytest.raises(TamperedError):
        credentials.open_body(one)


@pytest.mark.django_db(transaction=True)
def test_four_that_save_while_the_keys_are_rotated_again_and_again(
    first_key: str,
) -> None:
    make_settings()
    failures: list[Exception] = []
    last = ""

    def save(number: int) -> None:
        nonlocal last
        try:
            for turn in range(15):
                if number:
                    make_message(is_secret=True, text_body=f"{number}/{turn}")
                else:
                    last = f"{turn:040}"
                    row = SesSettings.load()
                    credentials.store_secret(row, last)
                    SesSettings.objects.filter(pk=row.pk).update(
                        secret_access_key_encrypted=row.secret_access_key_encrypted
                    )
        except Exception as error:  # noqa: BLE001  # told below, in the thread of the test
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        rotate()
    for thread in threads:
        thread.join()
    close_old_connections()
    assert failures == []
    rotate()
    assert credentials.read_secret(SesSettings.load()).reveal() == last
    assert {text for text, _ in bodies()} == {
        f"{number}/{turn}" for number in (1, 2, 3) for turn in range(15)
    }
    found = keys.uses()
    assert found[encryption.current_key_id()].total == sum(
        use.total for use in found.values()
    )


# Killed in the middle

_WRITE_SECRETS = """
from email_settings.tests.builders import make_message, make_settings
make_settings()
for number in range(5):
    make_message(is_secret=True, text_body=f"link {number}")
"""
_READ_SECRETS = """
from email_settings import credentials, keys
from email_settings.models import OutboxMessage, SesSettings
from ticketflow.lib import encryption
texts = [credentials.open_body(m)[0] for m in OutboxMessage.objects.order_by("pk")]
print(credentials.read_secret(SesSettings.load()).reveal(), *texts, sep="|")
first, *others = keys.uses().values()
print(len(encryption.key_ids()), first.total, sum(use.total for use in others))
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    "where",
    ["key", "before:1", "inside:1", "after:1", "inside:4", "after:4", "after:6"],
)
def test_rotation_that_is_killed_goes_on_when_it_is_started_again(
    tmp_path: Path, where: str
) -> None:
    site = make_site(tmp_path, endpoint_url="http://127.0.0.1:1")
    site.run(_WRITE_SECRETS)
    killed = run(site, "-m", "email_settings.tests.killed_rotation", where)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    expected = "|".join([SECRET, *(f"link {number}" for number in range(5))])
    assert site.run(_READ_SECRETS).splitlines()[0] == expected
    assert [entry.name for entry in tmp_path.glob("tmp*")] == []
    finished = run(site, "manage.py", "rotate_keys")
    assert finished.returncode == 0, finished.stderr
    texts, counts = site.run(_READ_SECRETS).splitlines()
    assert texts == expected
    # Killed after the last row, there was nothing to go on with: one key more.
    assert counts == f"{3 if where == 'after:6' else 2} 11 0"


def run(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=django_settings.BASE_DIR,
        env=dict(site.environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
