"""Queues and events of AWS that tests set up as the set-up script does."""

import json
from typing import Any

import boto3

from email_settings.models import SesSettings
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_settings

REGION = "eu-west-1"
SET = "ticketflow-ses"
EVENTS = ["SEND", "REJECT", "BOUNCE", "COMPLAINT", "DELIVERY", "DELIVERY_DELAY"]


def session() -> boto3.session.Session:
    return boto3.session.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        region_name=REGION,
    )


def make_queue(name: str = "ticketflow-ses-events", **attributes: str) -> str:
    """Return the URL of a new queue."""
    client = session().client("sqs")
    answer = client.create_queue(
        QueueName=name,
        Attributes=attributes,  # type: ignore[arg-type]
    )
    client.close()
    return answer["QueueUrl"]


def put(url: str, *bodies: str) -> None:
    client = session().client("sqs")
    for start in range(0, len(bodies), 10):
        client.send_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(number), "MessageBody": text}
                for number, text in enumerate(bodies[start : start + 10])
            ],
        )
    client.close()


def left(url: str) -> int:
    """Return how many messages the queue still has, hidden ones included."""
    client = session().client("sqs")
    told = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    client.close()
    visible = int(told["Attributes"]["ApproximateNumberOfMessages"])
    return visible + int(told["Attributes"]["ApproximateNumberOfMessagesNotVisible"])


def connect(url: str, *, is_live: bool = True) -> SesSettings:
    """Save settings whose events come to that queue."""
    row = make_settings(is_live=is_live)
    row.configuration_set = SET
    row.event_queue_url = url
    row.save()
    return row


def publish_events() -> str:
    """Have a configuration set publish to a queue and return the queue's URL."""
    aws = session()
    sns, sqs, ses = aws.client("sns"), aws.client("sqs"), aws.client("sesv2")
    topic = sns.create_topic(Name="ticketflow-ses-events")["TopicArn"]
    source = f"arn:aws:ses:{REGION}:{topic.split(':')[4]}:configuration-set/{SET}"
    sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=_policy("ses", "sns:Publish", topic, source),
    )
    url = make_queue()
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    queue = told["Attributes"]["QueueArn"]
    sqs.set_queue_attributes(
        QueueUrl=url,
        Attributes={"Policy": _policy("sns", "sqs:SendMessage", queue, topic)},
    )
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    ses.create_configuration_set(ConfigurationSetName=SET)
    ses.create_configuration_set_event_destination(
        ConfigurationSetName=SET,
        EventDestinationName="ticketflow",
        EventDestination={
            "Enabled": True,
            "MatchingEventTypes": EVENTS,  # type: ignore[typeddict-item]
            "SnsDestination": {"TopicArn": topic},
        },
    )
    for client in (sns, sqs, ses):
        client.close()
    return url


def _policy(service: str, action: str, resource: str, source: str) -> str:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": action,
        "Resource": resource,
        "Condition": {"ArnEquals": {"aws:SourceArn": source}},
    }
    if service == "ses":
        account = source.split(":")[4]
        statement["Condition"] = {
            "StringEquals": {"AWS:SourceAccount": account, "AWS:SourceArn": source}
        }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
