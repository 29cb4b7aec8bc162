"""Files on comments."""

import stat
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from accounts.models import User
from ticketflow.errors import DomainError
from tickets import attachments, services
from tickets.models import Attachment, Ticket
from tickets.tests.builders import PNG, everything, make_file


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def reply(actor: User, ticket: Ticket, *files: Any, **fields: Any) -> None:
    services.add_public_reply(
        actor=actor, number=ticket.number, body="See file", files=files, **fields
    )


def test_a_file_is_kept_under_a_random_name(
    ticket: Ticket, requester: User, stored_files: Path
) -> None:
    reply(requester, ticket, make_file("../../Screen shot.PNG"))

    attachment = Attachment.objects.get()
    assert attachment.file_name == "Screen shot.PNG"
    assert attachment.content_type == "image/png"
    assert attachment.size == len(PNG)
    path = Path(attachment.file.path)
    assert path.is_relative_to(stored_files)
    assert path.suffix == ""
    assert uuid.UUID(path.name).hex == path.name
    assert path.read_bytes() == PNG
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "content", "content_type"),
    [
        ("a.pdf", b"%PDF-1.7 ...", "application/pdf"),
        ("a.jpg", b"\xff\xd8\xff\xe0....", "image/jpeg"),
        ("a.gif", b"GIF89a....", "image/gif"),
        ("a.webp", b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        ("vpn.log", b"rekey", "text/plain"),
        ("a.svg", b"<svg onload='alert(1)'/>", "application/octet-stream"),
        ("a.html", b"<script>", "application/octet-stream"),
        ("a.xhtml", b"<script>", "application/octet-stream"),
        ("no ending", b"x", "application/octet-stream"),
        ("a.png.exe", b"MZ", "application/octet-stream"),
        (".htaccess", b"x", "application/octet-stream"),
    ],
)
def test_the_type_comes_from_our_own_table(
    ticket: Ticket, requester: User, name: str, content: bytes, content_type: str
) -> None:
    file = make_file(name, content)
    file.content_type = "text/html"
    reply(requester, ticket, file)
    assert Attachment.objects.get().content_type == content_type


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([make_file("empty.txt", b"")], "is empty"),
        ([make_file("virus.png", b"MZ\x90\x00")], "not what its name says"),
        ([make_file("virus.pdf", b"<html>")], "not what its name says"),
        ([make_file("short.webp", b"RIFF")], "not what its name says"),
        ([make_file()] * 6, "6 files are too many, up to 5 fit"),
        ([make_file(), make_file("empty.txt", b"")], "is empty"),
    ],
)
def test_what_cannot_be_taken_leaves_nothing_behind(
    ticket: Ticket,
    requester: User,
    stored_files: Path,
    files: list[Any],
    words: str,
) -> None:
    before, on_disk = everything(), files_in(stored_files)
    with pytest.raises(DomainError, match=words):
        reply(requester, ticket, *files)
    assert everything() == before
    assert files_in(stored_files) == on_disk


def test_twenty_megabytes_fit_and_no_more(ticket: Ticket, requester: User) -> None:
    reply(requester, ticket, make_file("a.bin", bytes(attachments.MAX_SIZE)))
    before = everything()
    with pytest.raises(DomainError, match="up to 20 MB fit"):
        reply(requester, ticket, make_file("a.bin", bytes(attachments.MAX_SIZE + 1)))
    assert everything() == before


def test_files_go_when_the_change_is_not_saved(
    ticket: Ticket,
    requester: User,
    stored_files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, on_disk = everything(), files_in(stored_files)

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("tickets.search.index_ticket", fail)
    with pytest.raises(RuntimeError):
        reply(requester, ticket, make_file(), make_file("b.txt", b"b"))
    assert everything() == before
    assert files_in(stored_files) == on_disk


def test_a_full_disk_refuses_the_file_and_nothing_is_half_saved(
    ticket: Ticket, requester: User, stored_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, on_disk = everything(), files_in(stored_files)
    save = default_storage.save
    saved: list[str] = []

    def fill_up(name: str, content: Any) -> str:
        if saved:
            raise OSError(28, "No space left on device")
        saved.append(save(name, content))
        return str(saved[0])

    monkeypatch.setattr(default_storage, "save", fill_up)
    with pytest.raises(DomainError, match="Nothing was saved"):
        reply(requester, ticket, make_file(), make_file("b.txt", b"b"))
    assert everything() == before
    assert files_in(stored_files) == on_disk


def test_a_form_sent_twice_stores_its_file_once(
    ticket: Ticket, requester: User, stored_files: Path
) -> None:
    key, on_disk = uuid.uuid4(), files_in(stored_files)
    reply(requester, ticket, make_file(), submission_key=key)
    reply(requester, ticket, make_file(), submission_key=key)
    assert len(files_in(stored_files) - on_disk) == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("a\x00b\r\nc.txt", "abc.txt"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("\u200b.htaccess", "htaccess"),
        ("\ud800", "file"),
        ("", "file"),
        ("..", "file"),
        ("  Röntgen  Bild.png ", "Röntgen Bild.png"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
    ],
)
def test_names_are_cleaned(given: str, kept: str) -> None:
    assert attachments.clean_name(given) == kept
