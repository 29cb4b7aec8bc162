"""What is made in AWS once, as plain data: the template and the script both use it."""

import secrets
from dataclasses import replace
from typing import Any

from email_settings.events import webhook
from email_settings.provisioning.place import Place

# Not opens and clicks: a help desk has no business to watch its readers.
EVENT_TYPES = (
    "SEND",
    "REJECT",
    "BOUNCE",
    "COMPLAINT",
    "DELIVERY",
    "DELIVERY_DELAY",
    "RENDERING_FAILURE",
)
# A hard bounce and a complaint stop further mail to that address.
SUPPRESSED_REASONS = ("BOUNCE", "COMPLAINT")

KEEP_SECONDS = 14 * 24 * 3600  # the longest that SQS offers
# How long an event that was read stays hidden from the next reader
HIDE_SECONDS = 120
POLL_SECONDS = 20
# So often is an event offered before it goes to the dead letters
TRIES = 5

# How SNS posts to a webhook. By itself it would try three more times in a minute, and
# then the event is lost; so it goes on for most of the hour that it allows.
# https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
DELIVERY_POLICY = {
    "healthyRetryPolicy": {
        "numRetries": 30,
        "numNoDelayRetries": 0,
        "minDelayTarget": 5,
        "maxDelayTarget": 180,
        "numMinDelayRetries": 3,
        "numMaxDelayRetries": 10,
        "backoffFunction": "exponential",
    }
}


def with_open_account(place: Place) -> tuple[Place, str]:
    """Return the place with a mark where the account belongs, and the mark.

    Which account it is shows only when the template or the script runs. The mark is a
    word that nobody can have guessed, so nothing that somebody typed in looks like it.
    """
    mark = secrets.token_hex(16)
    path = place.user_arn.partition(":user/")[2] or place.names.user
    user = f"arn:{place.partition}:iam::{mark}:user/{path}"
    return replace(place, account=mark, user_arn=user), mark


def webhook_url() -> str:
    """Return where SNS would post to, "" where it would not be https."""
    return webhook.endpoint() if webhook.protocol() == "https" else ""


def topic_policy(place: Place) -> dict[str, Any]:
    """Return the policy by which Amazon SES, for our set alone, may publish.

    https://docs.aws.amazon.com/ses/latest/dg/event-publishing-add-event-destination-sns.html
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AmazonSes",
                "Effect": "Allow",
                "Principal": {"Service": "ses.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": place.topic,
                "Condition": {
                    "StringEquals": {
                        "AWS:SourceAccount": place.account,
                        "AWS:SourceArn": place.configuration_set,
                    }
                },
            }
        ],
    }


def queue_policy(place: Place) -> dict[str, Any]:
    """Return the policy by which our topic alone may put events into the queue."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "OurTopic",
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": place.queue,
                "Condition": {"ArnEquals": {"aws:SourceArn": place.topic}},
            }
        ],
    }
