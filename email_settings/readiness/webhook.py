"""Switches the webhook on and off, and has SNS know of it, once an admin says so."""

from email_settings.events import webhook
from email_settings.gateway.setup import Setup, StepError
from email_settings.models import EventFeed, SesSettings
from email_settings.provisioning import making
from email_settings.readiness import run
from email_settings.readiness.fixes import FixError, refusal_of

LINES = ("events", "simulator")


def switch_on(sender: SesSettings) -> None:
    """Take posts of the topic, and have SNS begin to post: at most 5 seconds.

    Raises FixError when SNS could not be told; posts are taken all the same, so that it
    can be done by hand.
    """
    if any(reason := webhook.why_no_webhook(sender)):
        raise FixError("The webhook was not switched on.", *reason)
    # First: SNS asks for confirmation within the second.
    webhook.switch_on(sender)
    run.want(*LINES)
    try:
        with Setup(sender, region=sender.event_topic_arn.split(":")[3]) as setup:
            arn = setup.subscribe_webhook(
                sender.event_topic_arn,
                webhook.endpoint(),
                webhook.protocol(),
                making.DELIVERY_POLICY,
            )
            if arn:
                webhook.note_confirmed(arn)
            _sign_better(setup, sender)
    except StepError as error:
        title = "The webhook is on, and Amazon SNS does not know of it yet."
        raise refusal_of(sender, error, title) from error


def switch_off(sender: SesSettings) -> None:
    """Take no posts any more, and have SNS post none: at most 5 seconds.

    Raises FixError when SNS could not be told; nothing is taken all the same.
    """
    row = EventFeed.objects.filter(pk=EventFeed.ONLY_ID).first()
    arn = row.webhook_subscription_arn if row else ""
    webhook.switch_off()
    run.want(*LINES)
    if not arn:
        return
    try:
        with Setup(sender, region=arn.split(":")[3]) as setup:
            setup.unsubscribe(arn)
    except StepError as error:
        title = "The webhook is off, and Amazon SNS still tries to post."
        raise refusal_of(sender, error, title) from error


def _sign_better(setup: Setup, sender: SesSettings) -> None:
    """Have the topic sign by SHA-256, where we may; by SHA-1 it is signed, too."""
    try:
        setup.set_topic(sender.event_topic_arn, SignatureVersion="2")
    except StepError as error:
        if not error.is_denied:
            raise
