"""What the views share: who asks, and refusals that become words."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest

from accounts.models import User
from ticketflow.errors import DomainError


class AuthenticatedRequest(HttpRequest):
    """A request of a signed-in person; LoginRequiredMiddleware lets no other through."""

    user: User


def attempt(
    request: HttpRequest, service: Callable[..., Any], **arguments: Any
) -> bool:
    """Call the service; a refusal is shown on the next page. Return whether it worked."""
    try:
        service(**arguments)
    except DomainError as error:
        messages.error(request, str(error))
        return False
    return True
