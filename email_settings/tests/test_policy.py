"""The rights that are asked for: exact, for this account, and no more."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from email_settings.gateway.regions import partition_of, regions
from email_settings.models import SesSettings
from email_settings.provisioning.names import Names
from email_settings.provisioning.place import Place
from email_settings.provisioning.policy import (
    FEATURES,
    USUAL,
    Feature,
    as_text,
    iam_policy,
    policy,
    statement_for,
)

ACCOUNT = "123456789012"
LONGEST_INLINE_POLICY = 2048  # characters without blanks, of a user
EVERY_CHOICE = [
    choice
    for size in range(1, len(Feature) + 1)
    for choice in combinations(Feature, size)
]


def sender(**values: Any) -> SesSettings:
    """Settings as they are saved; nothing is written."""
    return SesSettings(
        **{
            "region": "eu-west-1",
            "from_email": "help@larkfield.example",
            "account_id": ACCOUNT,
            **values,
        }
    )


def statements(*features: Feature, **values: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy(features, Place.of(sender(**values)))[
        "Statement"
    ]
    return found


def test_sending_is_for_one_sender_only() -> None:
    [statement] = statements(Feature.SEND)
    assert statement == {
        "Sid": "TicketFlowSend",
        "Effect": "Allow",
        "Action": ["ses:SendEmail", "ses:SendRawEmail"],
        "Resource": "*",
        "Condition": {"StringEquals": {"ses:FromAddress": "help@larkfield.example"}},
    }


def test_without_a_sender_there_is_no_condition_that_nothing_meets() -> None:
    [statement] = statements(Feature.SEND, from_email="")
    assert "Condition" not in statement


def test_in_the_sandbox_recipients_are_identities_too() -> None:
    for is_sandbox in (True, None):  # None: AWS did not say
        [statement] = statements(Feature.SEND, is_sandbox=is_sandbox)
        assert statement["Resource"] == "*"


def test_in_production_the_senders_identities_are_named() -> None:
    row = sender(from_email="help@mail.larkfield.example", is_sandbox=False)
    [statement] = policy([Feature.SEND], Place.of(row))["Statement"]
    ours = f"arn:aws:ses:eu-west-1:{ACCOUNT}"
    assert statement["Resource"] == [
        f"{ours}:identity/help@mail.larkfield.example",
        f"{ours}:identity/mail.larkfield.example",
        f"{ours}:identity/larkfield.example",
        f"{ours}:configuration-set/{Names.of(row).configuration_set}",
    ]


def test_events_are_read_from_one_queue() -> None:
    row = sender()
    [statement] = policy([Feature.EVENTS], Place.of(row))["Statement"]
    queue = statement["Resource"].removeprefix(f"arn:aws:sqs:eu-west-1:{ACCOUNT}:")
    assert re.fullmatch(r"ticketflow-ses-[0-9a-f]{6}-events", queue)
    # the same one every time, also before anything is saved
    assert Place.of(sender()).queue == Place.of(row).queue


def test_a_queue_that_is_connected_is_the_one_that_is_read() -> None:
    url = f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/helpdesk-mail"
    [statement] = statements(Feature.EVENTS, event_queue_url=url)
    assert statement["Resource"] == f"arn:aws:sqs:eu-west-1:{ACCOUNT}:helpdesk-mail"


def test_two_installations_on_one_account_have_two_queues(settings: Settings) -> None:
    first = Place.of(sender()).queue
    settings.SECRET_KEY = "of another installation"
    assert Place.of(sender()).queue != first


def test_a_key_changes_itself_alone() -> None:
    [unknown] = statements(Feature.ROTATION)
    assert unknown["Resource"] == f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
    arn = f"arn:aws:iam::{ACCOUNT}:user/machines/ticketflow"
    [known] = statements(Feature.ROTATION, principal_arn=arn)
    assert known["Resource"] == arn
    role = f"arn:aws:sts::{ACCOUNT}:assumed-role/web/i-0abc"
    [of_a_role] = statements(Feature.ROTATION, principal_arn=role)
    assert of_a_role == unknown


def test_an_account_that_is_not_known_is_left_open() -> None:
    [statement] = statements(Feature.EVENTS, account_id="")
    assert statement["Resource"].startswith("arn:aws:sqs:eu-west-1:*:ticketflow-ses-")


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
        ("xx-nowhere-1", "aws"),
        ("", "aws"),
    ],
)
def test_partition(region: str, partition: str) -> None:
    assert partition_of(region) == partition


@pytest.mark.parametrize("region", [code for code, _ in regions()])
def test_arns_name_the_partition_of_their_region(region: str) -> None:
    place = Place.of(sender(region=region))
    for arn in (place.queue, place.topic, place.user, place.configuration_set):
        assert arn.startswith(f"arn:{partition_of(region)}:")


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ('a"],"Action":"*@x.example', 'a"],"Action":"${*}@x.example'),
        ("${aws:username}@x.example", "${$}{aws:username}@x.example"),
        ("*@x.example", "${*}@x.example"),
        ("who?@x.example", "who${?}@x.example"),
        ("a\\u0022@x.example", "a\\u0022@x.example"),
    ],
)
def test_an_odd_sender_is_taken_literally(typed: str, written: str) -> None:
    row = sender(from_email=typed, is_sandbox=False)
    [statement] = json.loads(as_text(policy([Feature.SEND], Place.of(row))))[
        "Statement"
    ]
    assert statement["Action"] == ["ses:SendEmail", "ses:SendRawEmail"]
    assert statement["Condition"]["StringEquals"]["ses:FromAddress"] == written
    assert statement["Resource"][0].endswith(f":identity/{written}")


def test_webhook_may_confirm_at_one_topic_and_subscribe_nowhere() -> None:
    topic = f"arn:aws:sns:eu-west-1:{ACCOUNT}:theirs"
    assert statements(Feature.WEBHOOK, event_topic_arn=topic) == [
        {
            "Sid": "TicketFlowWebhook",
            "Effect": "Allow",
            "Action": ["sns:ConfirmSubscription"],
            "Resource": topic,
        }
    ]
    assert Feature.WEBHOOK not in USUAL
    # That is for the one press of a button, or for a person.
    assert "sns:Subscribe" not in as_text(policy(Feature, Place.of(sender())))


@pytest.mark.parametrize("choice", EVERY_CHOICE)
def test_every_choice_is_a_policy_that_fits(choice: tuple[Feature, ...]) -> None:
    row = sender(
        region="ap-southeast-2",
        from_email="service-desk.informationtechnology@it.europe.larkfield-group.example",
        is_sandbox=False,
    )
    text = as_text(policy(choice, Place.of(row)))
    assert len("".join(text.split())) <= LONGEST_INLINE_POLICY
    found = json.loads(text)
    granted = [action for s in found["Statement"] for action in s["Action"]]
    assert granted == [a for f in FEATURES if f in choice for a in FEATURES[f].actions]
    assert not [action for action in granted if "*" in action]
    assert ("iam:" in text) is (Feature.ROTATION in choice)


def test_an_ordinary_installation_can_not_make_keys() -> None:
    assert Feature.ROTATION not in USUAL
    assert "iam:" not in iam_policy(sender())
    assert FEATURES[Feature.ROTATION].warning
    # nor set anything up
    assert not [
        w for w in ("Create", "Subscribe", "PutEmail") if w in iam_policy(sender())
    ]


@pytest.mark.parametrize(
    ("action", "actions", "resource"),
    [
        ("ses:GetAccount", ["ses:GetAccount"], "*"),
        ("ses:SendRawEmail", ["ses:SendEmail", "ses:SendRawEmail"], "*"),
        ("sqs:ReceiveMessage", ["sqs:ReceiveMessage"], "QUEUE"),
        ("sns:Subscribe", ["sns:Subscribe"], "TOPIC"),
        ("sqs:CreateQueue", ["sqs:CreateQueue"], ["QUEUE", "QUEUE-failed"]),
        ("ses:CreateConfigurationSet", ["ses:CreateConfigurationSet"], "SET"),
        ("iam:CreateAccessKey", ["iam:CreateAccessKey"], "USER"),
        ("ses:PutAccountDetails", ["ses:PutAccountDetails"], "*"),
        (
            "ses:CreateEmailIdentity",
            ["ses:CreateEmailIdentity"],
            [
                f"arn:aws:ses:eu-west-1:{ACCOUNT}:identity/help@larkfield.example",
                f"arn:aws:ses:eu-west-1:{ACCOUNT}:identity/larkfield.example",
            ],
        ),
    ],
)
def test_statement_for_one_denied_action(
    action: str, actions: list[str], resource: str | list[str]
) -> None:
    row = sender()
    place = Place.of(row)
    statement = json.loads(statement_for(action, row))
    assert statement["Effect"] == "Allow"
    assert statement["Action"] == actions
    words = {
        place.queue: "QUEUE",
        place.dead_letters: "QUEUE-failed",
        place.topic: "TOPIC",
        place.configuration_set: "SET",
        place.user: "USER",
    }
    found = statement["Resource"]
    if isinstance(found, list):
        assert [words.get(arn, arn) for arn in found] == resource
    else:
        assert words.get(found, found) == resource
