"""Files on comments: what is taken, what it is called, and how it is kept."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from django.core.files import File
from django.core.files.storage import default_storage

from ticketflow.errors import DomainError
from tickets.models import Attachment, Comment, attachment_path

if TYPE_CHECKING:
    AnyFile = File[Any]
else:
    AnyFile = File

MAX_FILES = 5  # on one comment
MAX_SIZE = 20 * 1024 * 1024  # bytes
MAX_NAME_LENGTH = 120  # characters
UNKNOWN_TYPE = "application/octet-stream"

# Served types come from here, never from the sender. SVG and HTML are left out on
# purpose: a browser would run what stands in them.
CONTENT_TYPES = {
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "eml": "message/rfc822",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "log": "text/plain",
    "md": "text/plain",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdf": "application/pdf",
    "png": "image/png",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "txt": "text/plain",
    "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
}
# How files of these types begin; what a name claims has to be true.
SIGNATURES = {
    "application/pdf": re.compile(rb"%PDF-"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}

_stored: ContextVar[list[str] | None] = ContextVar("stored_files", default=None)


class AttachmentError(DomainError):
    """A file that is not taken."""


@contextmanager
def removed_on_failure() -> Iterator[None]:
    """Delete what was stored inside when it fails; goes around the transaction."""
    names: list[str] = []
    token = _stored.set(names)
    try:
        yield
    except BaseException:
        for name in names:
            default_storage.delete(name)
        raise
    finally:
        _stored.reset(token)


def check(files: Sequence[AnyFile]) -> None:
    """Raise AttachmentError, with what to do about it, unless all files can be taken."""
    if len(files) > MAX_FILES:
        raise AttachmentError(
            f"{len(files)} files are too many, up to {MAX_FILES} fit. "
            "Put them into one zip file, or send the rest with a second reply."
        )
    for file in files:
        _check(file)


def attach(comment: Comment, files: Sequence[AnyFile]) -> None:
    """Store the checked files and hang them on the comment."""
    for file in files:
        attachment = Attachment(
            comment=comment,
            file_name=clean_name(file.name or ""),
            content_type=content_type(file.name or ""),
            size=file.size,
        )
        name = attachment_path(attachment)
        if (stored := _stored.get()) is not None:
            # Before the write: half a file is removed, too.
            stored.append(name)
        try:
            attachment.file.name = default_storage.save(name, file)
        except OSError as error:
            raise AttachmentError(
                f"“{attachment.file_name}” could not be stored, the disk may be full. "
                "Nothing was saved. Try again later or leave the file out."
            ) from error
        attachment.save()


def content_type(file_name: str) -> str:
    """Return the type to serve a file as, by the ending of its name."""
    ending = PurePosixPath(clean_name(file_name)).suffix.removeprefix(".").lower()
    return CONTENT_TYPES.get(ending, UNKNOWN_TYPE)


def clean_name(file_name: str) -> str:
    """Return the name without folders and signs that cannot be seen, never empty."""
    last = re.split(r"[/\\]", file_name)[-1]
    # Controls, invisible and direction-changing signs, lone surrogates, line ends
    visible = "".join(
        sign
        for sign in last
        if unicodedata.category(sign) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    )
    name = " ".join(visible.split()).strip(". ") or "file"
    if len(name) <= MAX_NAME_LENGTH:
        return name
    suffix = PurePosixPath(name).suffix[:20]
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


def _check(file: AnyFile) -> None:
    name = clean_name(file.name or "")
    if not file.size:
        raise AttachmentError(f"“{name}” is empty. Choose the file again.")
    if file.size > MAX_SIZE:
        raise AttachmentError(
            f"“{name}” has {file.size / 1024 / 1024:.1f} MB, up to "
            f"{MAX_SIZE // 1024 // 1024} MB fit. Make it smaller or share a link to it."
        )
    signature = SIGNATURES.get(content_type(name))
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    if signature and not signature.match(start):
        raise AttachmentError(
            f"“{name}” is not what its name says. "
            "Open it, save it again under the right kind, and attach that."
        )
