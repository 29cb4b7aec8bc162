"""What the agents' side bar shows."""

from typing import Any

from django.http import HttpRequest


def sidebar(request: HttpRequest) -> dict[str, Any]:
    """Nothing yet."""
    return {}
