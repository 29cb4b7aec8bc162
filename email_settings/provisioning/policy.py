"""The rights of TicketFlow's key: what is used, and nothing more."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from email_settings.models import SesSettings
from email_settings.provisioning.place import Place, literal

Statement = dict[str, Any]  # of an IAM policy


class Feature(StrEnum):
    """Something that TicketFlow does in AWS, with rights of its own."""

    SEND = "send"
    READ = "read"
    EVENTS = "events"
    WEBHOOK = "webhook"
    SUPPRESSION = "suppression"
    ROTATION = "rotation"


@dataclass(frozen=True)
class About:
    """A feature in plain words, and the actions that it needs."""

    label: str
    help: str
    actions: tuple[str, ...]
    is_usual: bool = True
    warning: str = ""


# GetCallerIdentity, the first question of all, needs no permission.
FEATURES: dict[Feature, About] = {
    Feature.SEND: About(
        "Send mail",
        "From your From Email only. Without it nothing leaves.",
        # TicketFlow hands over a finished message: AWS asks for SendRawEmail then.
        ("ses:SendEmail", "ses:SendRawEmail"),
    ),
    Feature.READ: About(
        "Read the set-up",
        "Sandbox, quota, sender and signature, for the checklist. Changes nothing.",
        (
            "ses:GetAccount",
            "ses:GetEmailIdentity",
            "ses:GetConfigurationSet",
            "ses:GetConfigurationSetEventDestinations",
        ),
    ),
    Feature.EVENTS: About(
        "Delivery events",
        "What became of each mail: delivered, bounced, called spam. Reads one queue.",
        ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    ),
    Feature.WEBHOOK: About(
        "Delivery events by webhook",
        "Lets Amazon SNS post events to TicketFlow besides the queue, or instead of it. "
        "Needs a public https address. Switch the webhook on under Delivery events first: "
        "only then is the question of Amazon SNS answered.",
        ("sns:ConfirmSubscription",),
        is_usual=False,
    ),
    Feature.SUPPRESSION: About(
        "Keep the suppression list",
        "See which addresses Amazon SES takes no mail for, and release one again. "
        "Without it TicketFlow keeps its own list only.",
        ("ses:ListSuppressedDestinations", "ses:DeleteSuppressedDestination"),
    ),
    Feature.ROTATION: About(
        "Change its own key",
        "Lets TicketFlow make the next access key and delete the old one by itself.",
        (
            "iam:CreateAccessKey",
            "iam:ListAccessKeys",
            "iam:UpdateAccessKey",
            "iam:DeleteAccessKey",
            "iam:GetAccessKeyLastUsed",
        ),
        is_usual=False,
        warning="Whoever steals a key with this right can make more keys, and keeps a "
        "way in after you have deleted the stolen one. Leave it off and change the key "
        "by hand if nobody needs it.",
    ),
}
USUAL = tuple(feature for feature, about in FEATURES.items() if about.is_usual)


def policy(features: Iterable[Feature], place: Place) -> dict[str, Any]:
    """Return the IAM policy for these features, in the order of the page."""
    chosen = set(features)
    return {
        "Version": "2012-10-17",
        "Statement": [
            _statement(feature, about.actions, place)
            for feature, about in FEATURES.items()
            if feature in chosen
        ],
    }


def as_text(document: dict[str, Any]) -> str:
    """Return a policy, or a statement of one, as the IAM console takes it."""
    return json.dumps(document, indent=2)


def iam_policy(sender: SesSettings) -> str:
    """Return the policy of an ordinary installation, for this account and sender."""
    return as_text(policy(USUAL, Place.of(sender)))


def statement_for(action: str, sender: SesSettings) -> str:
    """Return the statement that allows one action, for this account and sender.

    `action` is as AWS names it, "sqs:ReceiveMessage". One that none of the features
    needs, such as those of the set-up buttons, comes out as narrow as its name allows.
    """
    place = Place.of(sender)
    for feature, about in FEATURES.items():
        if action in about.actions:
            # Either of the two that send is no good without the other.
            actions = about.actions if feature is Feature.SEND else (action,)
            return as_text(_statement(feature, actions, place))
    return as_text(
        {"Effect": "Allow", "Action": [action], "Resource": _by_name(action, place)}
    )


def _statement(feature: Feature, actions: Iterable[str], place: Place) -> Statement:
    statement: Statement = {
        "Sid": f"TicketFlow{feature.capitalize()}",
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": _resource(feature, place),
    }
    if feature is Feature.SEND and place.from_email:
        # With it a stolen key can write in one name only.
        sender = {"ses:FromAddress": literal(place.from_email)}
        statement["Condition"] = {"StringEquals": sender}
    return statement


def _resource(feature: Feature, place: Place) -> str | list[str]:
    if feature is Feature.EVENTS:
        return place.queue
    if feature is Feature.WEBHOOK:
        return place.topic
    if feature is Feature.ROTATION:
        return place.user
    if feature is Feature.SEND and place.is_narrow and place.from_email:
        return [*place.identities, place.configuration_set]
    # Sending: in the sandbox AWS asks for a right to each recipient's identity, too.
    # Reading: the account is no resource, and the sender is looked for elsewhere, too.
    return "*"


def _by_name(action: str, place: Place) -> str | list[str]:
    """Return what an action of the set-up is about, as far as its name tells."""
    service, _, name = action.partition(":")
    if service == "sns":
        return place.topic
    if service == "sqs":
        return [place.queue, place.dead_letters]
    if service == "iam":
        return place.user
    if "ConfigurationSet" in name:
        return place.configuration_set
    if "EmailIdentity" in name and place.from_email:
        return place.identities
    return "*"
