"""Rotate the key: where it stands, and what an admin does about it."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from email_settings import services
from email_settings.forms import NewKeyForm
from email_settings.key_age import KeyAge
from email_settings.models import KeyRotation
from email_settings.provisioning.policy import statement_for
from email_settings.rotation import machine, page
from email_settings.status import MailStatus
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required


@admin_required
@require_GET
def rotation(request: HttpRequest) -> HttpResponse:
    """Show how far the rotation is, or how to begin one; htmx asks for the state alone."""
    return _page(request, NewKeyForm())


def _page(request: HttpRequest, form: NewKeyForm) -> HttpResponse:
    found = machine.current()
    stored = services.stored_settings()
    context: dict[str, Any] = {
        "stored": stored,
        "rotation": found,
        "key_age": KeyAge.of(stored),
        "last": None if found else machine.last_ended(),
        "statement": statement_for("iam:CreateAccessKey", stored),
        "worker_is_running": MailStatus(stored).worker_is_running,
    }
    if found:
        context |= {
            "stages": page.stages(found),
            "doing": page.doing(found),
            "next_moment": page.next_moment(found),
            "is_moving": page.is_moving(found) and not form.is_bound,
            "buttons": list(page.buttons(found)),
            "back_label": page.back_label(found),
            "form": form if page.may_paste(found) else None,
            "trail": machine.trail(found),
        }
    elif context["last"]:
        context["trail"] = machine.trail(context["last"])
    name = "_rotation_state" if request.headers.get("HX-Request") else "rotation"
    return render(request, f"email_settings/{name}.html", context)


@admin_required
@require_POST
def rotation_start(request: HttpRequest) -> HttpResponse:
    """Begin a rotation."""
    by_hand = request.POST.get("by_hand") == "yes"
    return _done(request, lambda actor: machine.start(actor=actor, by_hand=by_hand))


@sensitive_post_parameters("secret_access_key", "access_key_id")
@admin_required
@require_POST
def rotation_paste(request: HttpRequest) -> HttpResponse:
    """Take both parts of a new key."""
    assert isinstance(request.user, AbstractBaseUser)
    form = NewKeyForm(request.POST)
    if not form.is_valid():
        form.forget_secret()
        return _page(request, form)
    try:
        machine.paste(
            actor=request.user,
            access_key_id=form.cleaned_data["access_key_id"],
            secret=form.cleaned_data["secret_access_key"],
        )
    except DomainError as error:
        form.add_error(None, str(error))
        form.forget_secret()
        return _page(request, form)
    return redirect("email_settings:rotation")


@admin_required
@require_POST
def rotation_act(request: HttpRequest) -> HttpResponse:
    """Do what one of the buttons says."""
    value = request.POST.get("value", "")
    actions: dict[str, Callable[[AbstractBaseUser], KeyRotation]] = {
        "again": lambda actor: machine.try_again(actor=actor),
        "accept": lambda actor: machine.accept(actor=actor, code=value),
        "drop": lambda actor: machine.drop_orphan(actor=actor, access_key_id=value),
        "finish": lambda actor: machine.finish(actor=actor),
        "back": lambda actor: machine.go_back(actor=actor),
        "keep": lambda actor: machine.keep_new(actor=actor),
    }
    act = actions.get(request.POST.get("do", ""))
    if act is None:
        messages.error(request, machine.MOVED_ON)
        return redirect("email_settings:rotation")
    return _done(request, act)


def _done(
    request: HttpRequest, act: Callable[[AbstractBaseUser], KeyRotation]
) -> HttpResponse:
    assert isinstance(request.user, AbstractBaseUser)
    try:
        act(request.user)
    except DomainError as error:
        messages.error(request, str(error))
    return redirect("email_settings:rotation")
