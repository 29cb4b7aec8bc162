"""Decorators that keep a view to one kind of person. Signing in is required everywhere by default."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

View = Callable[..., HttpResponseBase]


def _required(attribute: str, view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not getattr(request.user, attribute, False):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


def admin_required(view: View) -> View:
    """Answer 403 unless the signed-in person is an admin."""
    return _required("is_admin", view)


def agent_required(view: View) -> View:
    """Answer 403 unless the signed-in person is an agent or an admin."""
    return _required("is_agent", view)
