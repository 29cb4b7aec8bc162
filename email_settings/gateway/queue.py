"""The queue of Amazon SQS that Amazon SES's events come to."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader
from botocore.parsers import ResponseParserError

from email_settings.credentials import Credentials
from email_settings.gateway.errors import ErrorClass, Problem, SendError, explain
from email_settings.gateway.regions import partition_of
from email_settings.gateway.sessions import session_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

AT_ONCE = 10  # SQS gives and deletes no more in one call
LONG_POLL_SECONDS = 20  # the most that SQS waits
# Calls side by side while there is a backlog, so that the way to AWS does not limit it
CALLS = 4
# RuntimeError: temporary credentials could not be renewed.
_SDK_ERRORS = (ClientError, BotoCoreError, ResponseParserError, RuntimeError)
_MISSING = frozenset(
    {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "InvalidAddress"}
)
# What TicketFlow does with the queue
ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


@dataclass(frozen=True)
class Letter:
    """One message of the queue; whoever has read it deletes it by its receipt."""

    body: str
    receipt: str


class EventQueue:
    """One queue of one account. For one reader; its calls are bounded in time."""

    def __init__(self, client: "SQSClient", *, url: str, region: str) -> None:
        self.url = url
        self._client = client
        self._region = region

    def wait(self) -> list[Letter]:
        """Return up to 10 messages as soon as there is one, at most 20 seconds later.

        They are hidden from others for the queue's visibility timeout. Raises SendError.
        """
        return self._receive(seconds=LONG_POLL_SECONDS)

    def drain(self) -> list[Letter]:
        """Return up to 40 messages that are there now. Raises SendError."""
        with ThreadPoolExecutor(CALLS) as pool:
            calls = [pool.submit(self._receive, seconds=0) for _ in range(CALLS)]
            return [letter for call in calls for letter in call.result()]

    def delete(self, letters: Sequence[Letter]) -> int:
        """Delete them and return how many AWS did not delete. Raises SendError."""
        batches = [
            letters[start : start + AT_ONCE]
            for start in range(0, len(letters), AT_ONCE)
        ]
        with ThreadPoolExecutor(CALLS) as pool:
            return sum(pool.map(self._delete, batches))

    def depth(self) -> int:
        """Return about how many messages wait or are being read. Raises SendError."""
        try:
            answer = self._client.get_queue_attributes(
                QueueUrl=self.url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )
            return sum(int(value) for value in answer.get("Attributes", {}).values())
        except (*_SDK_ERRORS, ValueError) as error:
            raise self._explained(error) from error

    def close(self) -> None:
        self._client.close()

    def _receive(self, *, seconds: int) -> list[Letter]:
        try:
            answer = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=AT_ONCE,
                WaitTimeSeconds=seconds,
            )
        except _SDK_ERRORS as error:
            raise self._explained(error) from error
        return [_letter(message) for message in answer.get("Messages", [])]

    def _delete(self, letters: Sequence[Letter]) -> int:
        try:
            answer = self._client.delete_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": letter.receipt}
                    for number, letter in enumerate(letters)
                ],
            )
        except _SDK_ERRORS as error:
            raise self._explained(error) from error
        return len(answer.get("Failed", []))

    def _explained(self, error: Exception) -> SendError:
        return explain_queue(error, url=self.url, region=self._region)


def _letter(message: "MessageTypeDef") -> Letter:
    return Letter(message.get("Body", ""), message.get("ReceiptHandle", ""))


def make_queue(credentials: Credentials, url: str) -> EventQueue:
    """Return the queue as these credentials see it. Raises SendError."""
    try:
        client = session_of(credentials).client(
            "sqs",
            config=Config(
                # The poller's own backoff tries again, and shows what is wrong.
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=LONG_POLL_SECONDS + 10,
                max_pool_connections=CALLS,
            ),
        )
    except _SDK_ERRORS as error:
        raise explain_queue(error, url=url, region=credentials.region) from error
    return EventQueue(client, url=url, region=credentials.region)


@cache
def host_of_queues(region: str) -> str:
    """Return where the SDK asks for queues in that region."""
    data = create_loader().load_data("endpoints")
    suffixes = {one["partition"]: one["dnsSuffix"] for one in data["partitions"]}
    return f"sqs.{region}.{suffixes.get(partition_of(region), 'amazonaws.com')}"


def queue_arn(url: str, region: str) -> str:
    """Return the ARN of the queue at that address, "" when the address is none."""
    account, _, name = urlsplit(url).path.strip("/").partition("/")
    if not account or not name or "/" in name:
        return ""
    return f"arn:{partition_of(region)}:sqs:{region}:{account}:{name}"


def statement_for_queue(url: str, region: str) -> str:
    """Return the statement of an IAM policy that lets the events of this queue be read."""
    return json.dumps(
        {
            "Sid": "ReadDeliveryEvents",
            "Effect": "Allow",
            "Action": list(ACTIONS),
            "Resource": queue_arn(url, region),
        },
        indent=2,
    )


def explain_queue(error: Exception, *, url: str, region: str) -> SendError:
    """Return the problem behind what the SDK raised when the queue was asked."""
    found = explain(error, region=region)
    problem = _problem(found, url, region)
    return SendError(problem, found.detail, found.code, found.request_id)


def _problem(found: SendError, url: str, region: str) -> Problem:
    name = url.rpartition("/")[2]
    if found.code in _MISSING:
        return Problem(
            code="queue_missing",
            kind=ErrorClass.CONFIG,
            title=f"The queue {name} does not exist.",
            why=f"AWS knows no queue of that address in {region} and this account.",
            fix="Copy the queue’s URL again from what the set-up script printed, or run "
            "the script once more: it makes what is missing.",
        )
    if found.problem.code == "access_denied":
        return Problem(
            code="queue_denied",
            kind=ErrorClass.IAM,
            title=f"AWS does not let us read the queue {name}.",
            why="The AWS credentials have no right to it. Mail leaves all the same, but "
            "nobody hears of bounces.",
            fix="Add the statement below to the policy of the IAM user or role. The next "
            "try, within a minute, picks up what waits.",
        )
    if found.problem.kind in {ErrorClass.NOTSENT, ErrorClass.UNKNOWN}:
        return Problem(
            code="queue_unreachable",
            kind=ErrorClass.NOTSENT,
            title="Amazon SQS can’t be reached.",
            why=f"The worker got no answer from {host_of_queues(region)}.",
            fix="If mail leaves, a firewall lets SES through and not SQS: allow HTTPS to "
            f"{host_of_queues(region)}. Events wait in the queue for up to 14 days.",
        )
    if found.problem.code == "request_refused":
        return Problem(
            code="queue_refused",
            kind=ErrorClass.NOTSENT,
            title="Amazon SQS refused to give the events.",
            why="The reason is not known here; its own words are below.",
            fix="Look at the queue in the AWS console. It is asked again by itself, and "
            "events wait in it for up to 14 days.",
        )
    return found.problem
