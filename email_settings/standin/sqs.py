"""Amazon SQS: queues that events are read from."""

import re
from datetime import datetime, timedelta
from typing import Any

from email_settings.standin.account import ACCOUNT_ID
from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.messaging import DEFAULT_VISIBILITY, SECOND, Letter, Queue
from email_settings.standin.policies import MalformedPolicyError, read_policy
from email_settings.standin.refused import RefusedError

LONGEST_WAIT = 20  # seconds
MOST_AT_ONCE = 10
LOOK_AGAIN = 0.25  # seconds: events come by the clock, which wakes nobody
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NUMBERS = {
    "DelaySeconds": 900,
    "MessageRetentionPeriod": 1_209_600,
    "ReceiveMessageWaitTimeSeconds": 20,
    "VisibilityTimeout": 43_200,
    "MaximumMessageSize": 1_048_576,
}
_ATTRIBUTES = frozenset(
    {*_NUMBERS, "Policy", "RedrivePolicy", "SqsManagedSseEnabled", "KmsMasterKeyId"}
)


def create_queue(ask: Ask) -> Answer:
    name = ask.text("QueueName")
    arn = ask.arn("sqs", name)
    _allow(ask, "sqs:createqueue", arn)
    if not _NAME.fullmatch(name):
        raise _invalid(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to "
            "80 in length"
        )
    given = ask.parameters.get("Attributes", {})
    _check_attributes(given)
    known = ask.region.queues.get(name)
    if known and any(known.attributes.get(key) != given[key] for key in given):
        raise RefusedError(
            "QueueNameExists",
            "A queue already exists with the same name and a different value for "
            "some attribute",
        )
    if known is None:
        url = f"https://sqs.{ask.region.name}.amazonaws.com/{ACCOUNT_ID}/{name}"
        known = Queue(name, arn, url, dict(given))
        ask.region.queues[name] = known
    return {"QueueUrl": known.url}


def get_queue_url(ask: Ask) -> Answer:
    name = ask.text("QueueName")
    _allow(ask, "sqs:getqueueurl", ask.arn("sqs", name))
    if name not in ask.region.queues:
        raise _no_queue()
    return {"QueueUrl": ask.region.queues[name].url}


def set_queue_attributes(ask: Ask) -> Answer:
    queue = _queue(ask, "sqs:setqueueattributes")
    given = ask.parameters.get("Attributes", {})
    _check_attributes(given)
    queue.attributes.update(given)
    return {}


def get_queue_attributes(ask: Ask) -> Answer:
    queue = _queue(ask, "sqs:getqueueattributes")
    ask.account.bring()
    now = ask.account.now()
    visible = sum(letter.visible_at <= now for letter in queue.letters)
    every = {
        "QueueArn": queue.arn,
        "ApproximateNumberOfMessages": str(visible),
        "ApproximateNumberOfMessagesNotVisible": str(len(queue.letters) - visible),
        "ApproximateNumberOfMessagesDelayed": "0",
        "VisibilityTimeout": str(DEFAULT_VISIBILITY),
        **queue.attributes,
    }
    wanted = ask.parameters.get("AttributeNames", [])
    chosen = every if "All" in wanted else {k: every[k] for k in wanted if k in every}
    return {"Attributes": chosen} if chosen else {}


def receive_message(ask: Ask) -> Answer:
    queue = _queue(ask, "sqs:receivemessage")
    most = int(ask.parameters.get("MaxNumberOfMessages", 1))
    if not 1 <= most <= MOST_AT_ONCE:
        raise _invalid(
            f"Value {most} for parameter MaxNumberOfMessages is invalid. Reason: Must "
            "be between 1 and 10, if provided."
        )
    usual = queue.attributes.get("ReceiveMessageWaitTimeSeconds", 0)
    seconds = int(ask.parameters.get("WaitTimeSeconds", usual))
    if not 0 <= seconds <= LONGEST_WAIT:
        raise _invalid(
            f"Value {seconds} for parameter WaitTimeSeconds is invalid. Reason: Must "
            "be >= 0 and <= 20, if provided."
        )
    letters = _wait(ask, queue, most, ask.account.now() + SECOND * seconds)
    if not letters:
        return {}
    wanted = {
        *ask.parameters.get("AttributeNames", []),
        *ask.parameters.get("MessageSystemAttributeNames", []),
    }
    return {"Messages": [_shown(letter, wanted) for letter in letters]}


def _wait(ask: Ask, queue: Queue, most: int, until: datetime) -> list[Letter]:
    """Return what comes until then; the account is free meanwhile."""
    visibility = ask.parameters.get("VisibilityTimeout")
    hidden = None if visibility is None else SECOND * int(visibility)
    while True:
        ask.account.bring()
        _set_aside(ask, queue)
        letters = queue.take(ask.account.now(), most=most, visibility=hidden)
        left = (until - ask.account.now()) / timedelta(seconds=1)
        if letters or left <= 0:
            return letters
        ask.account.news.wait(min(left, LOOK_AGAIN))


def _set_aside(ask: Ask, queue: Queue) -> None:
    """Put what was received too often into the queue for such messages."""
    redrive = queue.redrive
    other = ask.region.queues.get(
        str(redrive.get("deadLetterTargetArn", "")).rpartition(":")[2]
    )
    if other is None:
        return
    now, most = ask.account.now(), int(redrive["maxReceiveCount"])
    for letter in list(queue.letters):
        if letter.received >= most and letter.visible_at <= now:
            queue.letters.remove(letter)
            other.letters.append(letter)


def _shown(letter: Letter, wanted: set[str]) -> dict[str, Any]:
    every = {
        "SentTimestamp": str(int(letter.sent_at.timestamp() * 1000)),
        "ApproximateReceiveCount": str(letter.received),
    }
    chosen = {k: v for k, v in every.items() if wanted & {"All", k}}
    return {
        "MessageId": letter.message_id,
        "ReceiptHandle": letter.receipt,
        "MD5OfBody": letter.md5,
        "Body": letter.body,
        **({"Attributes": chosen} if chosen else {}),
    }


def delete_message(ask: Ask) -> Answer:
    _queue(ask, "sqs:deletemessage").delete(ask.text("ReceiptHandle"))
    return {}


def delete_message_batch(ask: Ask) -> Answer:
    # A batch asks for the permission of the single action.
    queue = _queue(ask, "sqs:deletemessage")
    entries = ask.parameters.get("Entries", [])
    if len(entries) > MOST_AT_ONCE:
        raise RefusedError(
            "TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10.",
        )
    for entry in entries:
        queue.delete(entry["ReceiptHandle"])
    return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}


def change_message_visibility(ask: Ask) -> Answer:
    queue = _queue(ask, "sqs:changemessagevisibility")
    for letter in queue.letters:
        if letter.receipt == ask.text("ReceiptHandle"):
            seconds = int(ask.parameters["VisibilityTimeout"])
            letter.visible_at = ask.account.now() + SECOND * seconds
            return {}
    raise RefusedError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")


def _queue(ask: Ask, action: str) -> Queue:
    name = ask.text("QueueUrl").rpartition("/")[2]
    _allow(ask, action, ask.arn("sqs", name))
    found = ask.region.queues.get(name)
    if found is None:
        raise _no_queue()
    return found


def _no_queue() -> RefusedError:
    words = "The specified queue does not exist."
    return RefusedError("QueueDoesNotExist", words)


def _check_attributes(given: dict[str, str]) -> None:
    for name, value in given.items():
        if name not in _ATTRIBUTES:
            words = f"Unknown Attribute {name}."
            raise RefusedError("InvalidAttributeName", words)
        most = _NUMBERS.get(name)
        if most is not None and not (value.isdecimal() and int(value) <= most):
            words = f"Invalid value for the parameter {name}."
            raise RefusedError("InvalidAttributeValue", words)
        if name == "Policy" and value:
            try:
                read_policy(value)
            except MalformedPolicyError:
                words = "Invalid value for the parameter Policy."
                raise RefusedError("InvalidAttributeValue", words) from None


def _allow(ask: Ask, action: str, arn: str) -> None:
    if not ask.may(action, arn):
        raise ask.refusal(action, arn, "AccessDenied")


def _invalid(words: str) -> RefusedError:
    return RefusedError("InvalidParameterValue", words)


OPERATIONS: dict[str, Operation] = {
    "ChangeMessageVisibility": change_message_visibility,
    "CreateQueue": create_queue,
    "DeleteMessage": delete_message,
    "DeleteMessageBatch": delete_message_batch,
    "GetQueueAttributes": get_queue_attributes,
    "GetQueueUrl": get_queue_url,
    "ReceiveMessage": receive_message,
    "SetQueueAttributes": set_queue_attributes,
}
