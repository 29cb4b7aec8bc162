"""What every page of the Admin Panel says about mail."""

from typing import Any

from django.http import HttpRequest


def mail_status(request: HttpRequest) -> dict[str, Any]:
    """Nothing yet."""
    return {}
