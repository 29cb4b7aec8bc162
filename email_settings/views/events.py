"""Delivery events: where they come from, and the proof that they do."""

import json
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from email_settings import services
from email_settings.canary import canary_of
from email_settings.events import connect, replay, webhook
from email_settings.events.connect import Connection
from email_settings.events.replay import Outcome
from email_settings.events.simulator import send_simulator_mails, why_no_trial
from email_settings.events.status import FeedStatus, feed_status
from email_settings.forms import PastedField, sentence
from email_settings.models import DeliveryEvent, SesSettings
from email_settings.provisioning import making
from email_settings.provisioning.names import Names
from email_settings.readiness import run
from email_settings.readiness.fixes import FixError
from email_settings.views.question import actor_of
from ticketflow.errors import DomainError
from ticketflow.lib.access import admin_required

UNREADABLE_SHOWN = 5
LINES = ("permission", "events", "simulator")  # of the checklist


class EventsForm(forms.Form):
    """What the set-up script prints when it has made all that events need."""

    use_required_attribute = False

    configuration_set = PastedField(
        label="Configuration set",
        required=False,
        max_length=64,
        help_text="Every message is sent by it. If it does not exist, Amazon SES refuses "
        "mail, and all mail is held until it does: nothing leaves unwatched.",
    )
    event_queue_url = PastedField(
        label="Event queue URL", required=False, max_length=255
    )
    event_topic_arn = PastedField(
        label="Event topic ARN", required=False, max_length=400
    )

    def __init__(self, *args: Any, stored: SesSettings, **kwargs: Any) -> None:
        self.stored = stored
        names = tuple(Connection.__dataclass_fields__)
        kwargs.setdefault("initial", {name: getattr(stored, name) for name in names})
        super().__init__(*args, **kwargs)
        for name in names:
            self.fields[name].widget.attrs |= {
                "class": "input-mono",
                "autocomplete": "off",
                "spellcheck": "false",
            }

    def clean_configuration_set(self) -> str:
        value: str = self.cleaned_data["configuration_set"]
        if value and not connect.SET_NAME.fullmatch(value):
            raise forms.ValidationError(
                sentence(
                    "This is no name of a configuration set.",
                    "It has letters, digits, - and _ only, 64 at most.",
                )
            )
        return value

    def clean_event_queue_url(self) -> str:
        value: str = self.cleaned_data["event_queue_url"]
        what, how = (
            connect.why_no_queue(value, self.stored.region) if value else ("", "")
        )
        if what:
            raise forms.ValidationError(sentence(what, how))
        if value and not self.cleaned_data.get("configuration_set", "unknown"):
            self.add_error(
                "configuration_set",
                sentence(
                    "Paste the configuration set, too.",
                    "Without it Amazon SES sends no events to the queue.",
                ),
            )
        is_for_the_webhook = bool(self["event_topic_arn"].value())
        if (
            not value
            and self.cleaned_data.get("configuration_set")
            and not is_for_the_webhook
        ):
            raise forms.ValidationError(
                sentence(
                    "Paste the queue’s URL, too.",
                    "The events of the configuration set come to it. For the webhook "
                    "alone, paste the topic’s ARN instead.",
                )
            )
        return value

    def clean_event_topic_arn(self) -> str:
        value: str = self.cleaned_data["event_topic_arn"]
        what, how = (
            connect.why_no_topic(value, self.stored.region) if value else ("", "")
        )
        if what:
            raise forms.ValidationError(sentence(what, how))
        return value

    def result(self) -> Connection:
        """What was typed, in shape. Only for a valid form."""
        return Connection(**self.cleaned_data)


@admin_required
@require_http_methods(["GET", "POST"])
def events(request: HttpRequest) -> HttpResponse:
    """Show what is connected and what has come, or connect something else."""
    stored = services.stored_settings()
    if request.method == "POST":
        return _connect(request, stored)
    if request.headers.get("HX-Request"):
        feed = _feed(stored)
        if not feed["is_waiting"]:
            run.want(*LINES)  # what was waited for has come; nobody asks here again
        context = feed | {"is_fragment": True}
        return render(request, "email_settings/_events_feed.html", context)
    return _page(request, stored, EventsForm(stored=stored))


def _connect(request: HttpRequest, stored: SesSettings) -> HttpResponse:
    form = EventsForm(request.POST, stored=stored)
    if not stored.is_configured:
        form.add_error(None, "Save working settings for sending first.")
    if not form.is_valid():
        return _page(request, stored, form)
    values = form.result()
    connect.save_connection(actor=actor_of(request), values=values)
    run.want(*LINES)
    if values.event_queue_url:
        messages.success(
            request,
            "Saved. The worker reads the queue within seconds. Send to the simulator "
            "now to see events come back.",
        )
    elif values.event_topic_arn:
        messages.success(
            request, "Saved. Switch the webhook on: no queue is connected besides."
        )
    else:
        messages.success(request, "Saved. Delivery events are not connected any more.")
    return redirect("email_settings:events")


@admin_required
@require_POST
def events_simulator(request: HttpRequest) -> HttpResponse:
    """Send one mail to each mailbox of the simulator."""
    try:
        sent = send_simulator_mails(actor_of(request))
    except DomainError as error:
        messages.error(request, str(error))
    else:
        run.want("simulator")
        messages.success(
            request,
            f"{len(sent)} mails are on their way to the simulator. Their events come "
            "back within a minute.",
        )
    return redirect("email_settings:events")


@admin_required
@require_POST
def read_again(request: HttpRequest, event_id: int) -> HttpResponse:
    """Read one event once more that could not be read."""
    return _told_again(request, replay.read_again(event_id))


@admin_required
@require_POST
def read_all_again(request: HttpRequest) -> HttpResponse:
    """Read all events once more that could not be read."""
    return _told_again(request, replay.read_all_again())


def _told_again(request: HttpRequest, outcome: Outcome) -> HttpResponse:
    text = f"{outcome.read} of {outcome.tried} could be read."
    if outcome.read == outcome.tried:
        messages.success(request, f"{text} They count like all others now.")
    else:
        messages.warning(request, f"{text} The rest stays here; nothing is lost.")
    return redirect("email_settings:events")


@dataclass(frozen=True)
class Unreadable:
    """One that could not be read, as it is shown."""

    event: DeliveryEvent
    is_cut: bool


def _page(request: HttpRequest, stored: SesSettings, form: EventsForm) -> HttpResponse:
    return page_of_events(request, stored, form=form)


def page_of_events(
    request: HttpRequest,
    stored: SesSettings,
    *,
    form: EventsForm | None = None,
    refusal: FixError | None = None,
) -> HttpResponse:
    """Answer with the page; `refusal` is why a button could not do all it should."""
    shown = replay.unreadable().order_by("-received_at", "-pk")[:UNREADABLE_SHOWN]
    context = {
        "form": form or EventsForm(stored=stored),
        "names": Names.of(stored),
        "unreadable": [Unreadable(event, replay.is_cut(event)) for event in shown],
        "again_count": replay.readable()[: replay.MOST_LOOKED_AT].count(),
        "refusal": refusal,
        **_feed(stored),
    }
    return render(request, "email_settings/events.html", context)


def _feed(stored: SesSettings) -> dict[str, Any]:
    """Return what the page asks for again while something is under way."""
    status = feed_status(stored)
    now = timezone.now()
    has_run_out = status.webhook.has_run_out(now)
    is_tried = any(t.message and not t.seen_at for t in status.trials.values())
    return {
        "stored": stored,
        "feed": status,
        "is_connected": status.is_connected,
        "is_by_queue": status.has_queue or not status.webhook.is_on,
        "is_silent": status.is_silent(now),
        "is_waiting": is_tried or (status.webhook.is_pending and not has_run_out),
        "trial_refusal": why_no_trial(stored),
        "canary": canary_of(stored),
        "has_run_out": has_run_out,
        **_webhook(stored, status),
    }


def _webhook(stored: SesSettings, status: FeedStatus) -> dict[str, Any]:
    refusal, fix = webhook.why_no_webhook(stored)
    return {
        "webhook": status.webhook,
        "webhook_endpoint": webhook.endpoint(),
        "webhook_protocol": webhook.protocol().upper(),
        "webhook_refusal": refusal,
        "webhook_fix": fix,
        "delivery_policy": json.dumps(making.DELIVERY_POLICY, indent=2),
    }
