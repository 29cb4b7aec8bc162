"""Makes and changes things in an AWS account, for an admin who waits for it.

Every step may be done again with the same outcome, so that a second press of a button,
or one after a step that failed, goes on where the first one ended.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from email_settings.gateway import wire
from email_settings.gateway.errors import ErrorClass, SendError, problem_for
from email_settings.gateway.probe import explain_question
from email_settings.gateway.ses import credentials_of
from email_settings.gateway.sessions import session_of
from email_settings.gateway.turns import APART, turn
from email_settings.models import SesSettings

TOTAL_SECONDS = 5.0
CALL_SECONDS = 2.0  # for connecting, and for each piece of the answer
# A call that is given less could hardly succeed.
LEAST_SECONDS = 0.4
SES = "sesv2"
# KeyError and RuntimeError are what the SDK makes of answers that are none of AWS's.
_SDK_ERRORS = (ClientError, BotoCoreError, ResponseParserError, KeyError, RuntimeError)
_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "AuthorizationError"})
_BUSY = frozenset({"rate_exceeded", "connect_timeout"})

Answer = Mapping[str, Any]


class StepError(Exception):
    """A step of the set-up that AWS did not do; those before it are done."""

    def __init__(self, action: str, error: SendError, code: str = "") -> None:
        """`action` is as a policy names it, `code` as AWS called the refusal."""
        super().__init__(str(error))
        self.action = action
        self.error = error
        self.code = code

    @property
    def is_denied(self) -> bool:
        """Whether the credentials lack the right for it."""
        return self.code in _DENIED

    @property
    def is_too_slow(self) -> bool:
        """Whether it was not tried, or not waited for, because time was over."""
        return self.error.problem.code in _BUSY

    @property
    def is_unanswered(self) -> bool:
        """Whether AWS may have done it all the same."""
        return self.error.problem.kind in {ErrorClass.NOTSENT, ErrorClass.UNKNOWN}


@dataclass(frozen=True)
class SenderIdentity:
    """An identity as Amazon SES has it now."""

    name: str
    is_new: bool
    is_verified: bool
    tokens: tuple[str, ...]  # of DKIM; none for an address
    zone: str  # where the tokens lead to


class Setup:
    """Works on one account in one region, for 5 seconds. For one button, one thread.

    Use it as a context manager: the turn that it has with SES is given back at the end.
    Its methods raise StepError. Not in a transaction, which would stay open meanwhile.
    """

    def __init__(self, sender: SesSettings, *, region: str = "") -> None:
        self._sender = sender
        self._region = region or sender.region
        self._ends_at = time.monotonic() + TOTAL_SECONDS
        self._session: boto3.session.Session | None = None
        self._held = ExitStack()
        self._next_turn_at: float | None = None  # None before the first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    # Senders

    def create_identity(self, name: str) -> SenderIdentity:
        """Have an address or a domain be known; one that is there already stays."""
        answer = self._unless(
            "AlreadyExistsException",
            lambda: self._ask(
                SES,
                "ses:CreateEmailIdentity",
                "create_email_identity",
                EmailIdentity=name,
            ),
        )
        is_new = answer is not None
        if answer is None:
            answer = self._ask(
                SES, "ses:GetEmailIdentity", "get_email_identity", EmailIdentity=name
            )
        dkim = answer.get("DkimAttributes", {})
        return SenderIdentity(
            name=name,
            is_new=is_new,
            is_verified=bool(answer.get("VerifiedForSendingStatus")),
            tokens=tuple(dkim.get("Tokens", [])),
            zone=dkim.get("SigningHostedZone") or "dkim.amazonses.com",
        )

    def set_mail_from(self, identities: Iterable[str], domain: str) -> str:
        """Set the MAIL FROM domain of the first of these identities that is known.

        Returns its name, "" when none is. Without the records mail leaves all the same.
        """
        for name in identities:
            found = self._unless(
                "NotFoundException",
                lambda name=name: self._ask(  # type: ignore[misc]
                    SES,
                    "ses:PutEmailIdentityMailFromAttributes",
                    "put_email_identity_mail_from_attributes",
                    EmailIdentity=name,
                    MailFromDomain=domain,
                    BehaviorOnMxFailure="USE_DEFAULT_VALUE",
                ),
            )
            if found is not None:
                return name
        return ""

    # The account

    def request_production(
        self, *, website: str, use_case: str, contacts: Sequence[str]
    ) -> None:
        """Ask AWS to let the account out of the sandbox."""
        also = {"AdditionalContactEmailAddresses": list(contacts)} if contacts else {}
        self._ask(
            SES,
            "ses:PutAccountDetails",
            "put_account_details",
            MailType="TRANSACTIONAL",
            WebsiteURL=website,
            ContactLanguage="EN",
            UseCaseDescription=use_case,
            ProductionAccessEnabled=True,
            **also,
        )

    # Events

    def create_set(self, name: str, reasons: Sequence[str]) -> None:
        """Have a configuration set, which keeps its own settings if it is there."""
        self._unless(
            "AlreadyExistsException",
            lambda: self._ask(
                SES,
                "ses:CreateConfigurationSet",
                "create_configuration_set",
                ConfigurationSetName=name,
                SuppressionOptions={"SuppressedReasons": list(reasons)},
            ),
        )

    def create_topic(self, name: str) -> str:
        """Have a topic, and return its ARN."""
        answer = self._ask("sns", "sns:CreateTopic", "create_topic", Name=name)
        return str(answer["TopicArn"])

    def set_topic(self, arn: str, **attributes: str) -> None:
        """Set attributes of a topic."""
        for name, value in attributes.items():
            self._ask(
                "sns",
                "sns:SetTopicAttributes",
                "set_topic_attributes",
                TopicArn=arn,
                AttributeName=name,
                AttributeValue=value,
            )

    def create_queue(self, name: str, attributes: Mapping[str, str]) -> str:
        """Have a queue with these attributes, and return its URL."""
        # Without attributes, so that one with others is found and not refused.
        made = self._ask("sqs", "sqs:CreateQueue", "create_queue", QueueName=name)
        url = str(made["QueueUrl"])
        self._ask(
            "sqs",
            "sqs:SetQueueAttributes",
            "set_queue_attributes",
            QueueUrl=url,
            Attributes=dict(attributes),
        )
        return url

    def subscribe(self, topic_arn: str, queue_arn: str) -> None:
        """Let the topic deliver to the queue, each text as it was published."""
        answer = self._ask(
            "sns",
            "sns:Subscribe",
            "subscribe",
            TopicArn=topic_arn,
            Protocol="sqs",
            Endpoint=queue_arn,
            ReturnSubscriptionArn=True,
        )
        self._ask(
            "sns",
            "sns:SetSubscriptionAttributes",
            "set_subscription_attributes",
            SubscriptionArn=answer["SubscriptionArn"],
            AttributeName="RawMessageDelivery",
            AttributeValue="true",
        )

    def subscribe_webhook(
        self, topic_arn: str, endpoint: str, protocol: str, policy: Mapping[str, Any]
    ) -> str:
        """Have the topic post to an address, by that delivery policy.

        Returns the ARN of a subscription that is confirmed already; "" for one that is
        yet to be, which SNS asks for by a post.
        """
        values = {"TopicArn": topic_arn, "Protocol": protocol, "Endpoint": endpoint}

        def ask(**more: Any) -> Answer:
            return self._ask("sns", "sns:Subscribe", "subscribe", **values, **more)

        answer = self._unless(
            # What AWS says of one that is there with another policy, which stays
            "InvalidParameter",
            lambda: ask(Attributes={"DeliveryPolicy": json.dumps(policy)}),
        )
        arn = str((answer or ask())["SubscriptionArn"])
        return arn if arn.startswith(f"{topic_arn}:") else ""

    def confirm_subscription(self, topic_arn: str, token: str) -> str:
        """Confirm what SNS asked for by a post, and return the subscription's ARN.

        Only this account may end it then.
        """
        answer = self._ask(
            "sns",
            "sns:ConfirmSubscription",
            "confirm_subscription",
            TopicArn=topic_arn,
            Token=token,
            AuthenticateOnUnsubscribe="true",
        )
        return str(answer["SubscriptionArn"])

    def unsubscribe(self, arn: str) -> None:
        """End a subscription."""
        self._ask("sns", "sns:Unsubscribe", "unsubscribe", SubscriptionArn=arn)

    def publish_events(
        self, set_name: str, name: str, topic_arn: str, types: Sequence[str]
    ) -> None:
        """Let a configuration set publish its events to a topic."""
        values = {
            "ConfigurationSetName": set_name,
            "EventDestinationName": name,
            "EventDestination": {
                "Enabled": True,
                "MatchingEventTypes": list(types),
                "SnsDestination": {"TopicArn": topic_arn},
            },
        }
        operation = "configuration_set_event_destination"
        made = self._unless(
            "AlreadyExistsException",
            lambda: self._ask(
                SES,
                "ses:CreateConfigurationSetEventDestination",
                f"create_{operation}",
                **values,
            ),
        )
        if made is None:
            self._ask(
                SES,
                "ses:UpdateConfigurationSetEventDestination",
                f"update_{operation}",
                **values,
            )

    # Asking

    def _unless(self, code: str, ask: Callable[[], Answer]) -> Answer | None:
        """Return the answer, None when AWS refuses with this code."""
        try:
            return ask()
        except StepError as error:
            if error.code == code:
                return None
            raise

    def _ask(self, service: str, action: str, operation: str, **values: Any) -> Answer:
        if service != SES:
            return self._call(service, action, operation, values)
        self._take_turn(action)
        try:
            return self._call(service, action, operation, values)
        finally:
            self._next_turn_at = time.monotonic() + APART.total_seconds()

    def _take_turn(self, action: str) -> None:
        """Wait, as long as there is time, until SES takes the next such call.

        It takes one a second. The turn is kept till the end: between two steps nobody
        else comes in, and it is over before others may take it for abandoned.
        """
        if self._next_turn_at is None:
            if self._held.enter_context(self._first_turn()):
                return
        else:
            wait = self._next_turn_at - time.monotonic()
            if wait < self._ends_at - time.monotonic() - LEAST_SECONDS:
                time.sleep(max(wait, 0))
                return
        raise StepError(
            action, SendError(problem_for("rate_exceeded"), "No turn in time")
        )

    @contextmanager
    def _first_turn(self) -> Iterator[bool]:
        stopping = threading.Event()
        left = self._ends_at - time.monotonic() - LEAST_SECONDS
        timer = threading.Timer(max(left, 0), stopping.set)
        timer.daemon = True
        timer.start()
        sender = self._sender
        whose = sender.account_id or sender.access_key_id or sender.source
        try:
            with turn(f"{whose}:{SES}:{self._region}", stopping) as is_ours:
                timer.cancel()
                yield is_ours
        finally:
            timer.cancel()

    def _call(
        self, service: str, action: str, operation: str, values: Mapping[str, Any]
    ) -> Answer:
        left = self._ends_at - time.monotonic()
        if left < LEAST_SECONDS:
            raise StepError(action, self._too_slow("Not tried: no time was left"))
        try:
            client = self._client(service, left)
            with wire.one_call(seconds=left):
                answer: Answer = getattr(client, operation)(**values)
        except SendError as error:
            raise StepError(action, error) from error
        except _SDK_ERRORS as error:
            code = _code_of_aws(error) if isinstance(error, ClientError) else ""
            explained = explain_question(error, region=self._region)
            raise StepError(action, explained, code) from error
        if not answer["ResponseMetadata"].get("RequestId"):
            # Only AWS numbers its replies: a portal's page can look like an empty one.
            problem = problem_for("not_aws", dot_region=f".{self._region}")
            raise StepError(action, SendError(problem, "No request number"))
        return answer

    def _client(self, service: str, left: float) -> Any:
        if self._session is None:
            self._session = session_of(credentials_of(self._sender))
        seconds = min(CALL_SECONDS, left / 2)
        client = self._session.client(
            service,  # type: ignore[call-overload]
            region_name=self._region,
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=seconds,
                read_timeout=seconds,
            ),
        )
        wire.watch(client)
        return client

    def _too_slow(self, detail: str) -> SendError:
        problem = problem_for("connect_timeout", dot_region=f".{self._region}")
        return SendError(problem, detail)


def _code_of_aws(error: ClientError) -> str:
    """Return AWS's code; "" for a reply that something else gave in its place."""
    has_number = error.response.get("ResponseMetadata", {}).get("RequestId")
    return str(error.response["Error"].get("Code", "")) if has_number else ""
