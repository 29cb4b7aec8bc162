"""The documents that an admin can read in the Admin Panel."""

from functools import cache

from django.conf import settings
from django.urls import reverse

from ticketflow.lib.documents import Document, render_document

GUIDE = "ses-setup"
# The others that the guide refers to
OTHERS = ("operations", "glossary", "field-check")


@cache
def read_document(name: str) -> Document | None:
    """Return one of the documents, rendered; None when it is none of these."""
    if name != GUIDE and name not in OTHERS:
        return None
    text = (settings.BASE_DIR / "docs" / f"{name}.md").read_text(encoding="utf-8")
    return render_document(text, address_of=_address_of)


def _address_of(name: str) -> str:
    if name == GUIDE:
        return reverse("email_settings:guide")
    if name in OTHERS:
        return reverse("email_settings:guide-document", args=[name])
    return ""
