"""The one-time key to the first-run page, in a file that only the server's owner reads."""

from django.conf import settings
from django.utils.crypto import constant_time_compare

from ticketflow.lib.localfiles import read_or_create_secret


def fits(given: str) -> bool:
    """Whether this is the key that the terminal printed."""
    secret = read_or_create_secret(settings.DATA_DIR / "setup_token")
    return constant_time_compare(given, secret)


def discard() -> None:
    """Throw the key away: the first admin exists."""
    (settings.DATA_DIR / "setup_token").unlink(missing_ok=True)
