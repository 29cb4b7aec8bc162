"""Reads what an AWS account says about itself, one question a second."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from django.utils import timezone

from email_settings.gateway.errors import ErrorClass, SendError, problem_for
from email_settings.gateway.probe import explain_question
from email_settings.gateway.ses import credentials_of
from email_settings.gateway.sessions import session_of, sts_region
from email_settings.gateway.turns import turn
from email_settings.models import SesSettings

CONNECT_SECONDS, READ_SECONDS = 3, 4
_CONFIG = Config(
    retries={"total_max_attempts": 1},
    connect_timeout=CONNECT_SECONDS,
    read_timeout=READ_SECONDS,
)
# KeyError is what the SDK makes of a portal's well-formed page where STS's XML should be,
# RuntimeError of temporary credentials that could not be renewed.
_SDK_ERRORS = (ClientError, BotoCoreError, ResponseParserError, KeyError, RuntimeError)
# Asked first when an identity is looked for elsewhere: where most accounts are.
_BUSY_REGIONS = (
    "us-east-1",
    "eu-west-1",
    "eu-central-1",
    "us-west-2",
    "eu-west-2",
    "us-east-2",
    "ap-southeast-2",
)

SUPPRESSED_IN_A_PAGE = 1_000

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Caller:
    """Whose credentials they are, as STS says."""

    account_id: str
    arn: str


@dataclass(frozen=True)
class _Kept:
    answer: Answer | SendError | None  # None: there is no such thing
    asked_at: datetime


class Reader:
    """Asks one account in one region, each question once.

    Its methods raise SendError, whose problem is a row of the catalogue. For one thread,
    and not in a transaction, which would stay open while AWS is asked.
    """

    def __init__(
        self, sender: SesSettings, stopping: threading.Event | None = None
    ) -> None:
        """`stopping` ends the waiting for a turn."""
        self.region = sender.region
        self.version = sender.version  # of the settings that it asks with
        # How far this server's clock is ahead of AWS's, None before STS has answered
        self.clock_ahead: timedelta | None = None
        self._now = timezone.now()
        self._sender = sender
        self._stopping = stopping or threading.Event()
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._clients: dict[tuple[str, str], Any] = {}

    def begin(self, *, now: datetime, not_before: datetime) -> None:
        """Serve somebody who wants to know how it is since `not_before`.

        What was asked earlier is asked again. Both times are the database's.
        """
        self._now = now
        self._kept = {
            question: kept
            for question, kept in self._kept.items()
            if kept.asked_at >= not_before
        }

    def caller(self) -> Caller:
        """Ask STS whose credentials they are; that needs no permission."""
        region = sts_region(self._session, self.region)
        answer = self._ask("sts", "get_caller_identity", region)
        return Caller(answer.get("Account", ""), answer.get("Arn", ""))

    def account(self) -> Answer:
        """Ask what the account may do in the region (GetAccount)."""
        return self._ask("sesv2", "get_account", self.region)

    def identity(self, name: str) -> Answer | None:
        """Ask about an address or a domain (GetEmailIdentity); None if it is unknown."""
        return self._find("get_email_identity", self.region, EmailIdentity=name)

    def configuration_set(self, name: str) -> Answer | None:
        """Ask about a configuration set; None if there is none of that name."""
        return self._find(
            "get_configuration_set", self.region, ConfigurationSetName=name
        )

    def event_destinations(self, name: str) -> Answer | None:
        """Ask where a configuration set sends its events; None if there is no such set."""
        return self._find(
            "get_configuration_set_event_destinations",
            self.region,
            ConfigurationSetName=name,
        )

    def suppressed(self, token: str = "") -> Answer:
        """Ask for one page of AWS's suppression list, from where the last one ended.

        Nothing of it is kept here: it may have any number of pages.
        """
        named: dict[str, Any] = {"PageSize": SUPPRESSED_IN_A_PAGE}
        if token:
            named["NextToken"] = token
        answer = self._answer(
            "sesv2", "list_suppressed_destinations", self.region, named
        )
        return _given(answer)

    def release(self, address: str) -> bool:
        """Take an address off AWS's suppression list; False when it is not on it.

        It must be spelt as it stands there, capital letters included.
        """
        answer = self._answer(
            "sesv2",
            "delete_suppressed_destination",
            self.region,
            {"EmailAddress": address},
        )
        if answer is None:
            return False
        _given(answer)
        return True

    def elsewhere(self, name: str) -> Iterator[tuple[str, Answer | None]]:
        """Ask each other region with SES about an identity, the likely ones first.

        Yields the region and what it says, None where it knows nothing or does not
        answer, so that the caller can stop at any time.
        """
        for region in _other_regions(self._session, self.region):
            try:
                yield (
                    region,
                    self._find("get_email_identity", region, EmailIdentity=name),
                )
            except SendError:
                # Not enabled, not allowed, not reached: it is not found there.
                yield region, None

    def _ask(self, service: str, operation: str, region: str, **named: str) -> Answer:
        answer = self._find(operation, region, service=service, **named)
        return _given(answer)

    def _find(
        self, operation: str, region: str, *, service: str = "sesv2", **named: str
    ) -> Answer | None:
        question = (service, operation, region, *named.values())
        kept = self._kept.get(question)
        if kept is None:
            answer = self._answer(service, operation, region, named)
            kept = _Kept(answer, self._now)
            self._kept[question] = kept
        if isinstance(kept.answer, SendError):
            raise kept.answer
        return kept.answer

    def _answer(
        self, service: str, operation: str, region: str, named: Mapping[str, Any]
    ) -> Answer | SendError | None:
        answer = self._call(service, operation, region, named)
        is_too_fast = (
            isinstance(answer, SendError) and answer.problem.kind is ErrorClass.RATE
        )
        # Somebody else asks this account, too. One more turn later it may have room.
        return self._call(service, operation, region, named) if is_too_fast else answer

    def _call(
        self, service: str, operation: str, region: str, named: Mapping[str, Any]
    ) -> Answer | SendError | None:
        sender = self._sender
        whose = sender.account_id or sender.access_key_id or sender.source
        try:
            ask = getattr(self._client(service, region), operation)
            with turn(f"{whose}:{service}:{region}", self._stopping) as is_ours:
                if not is_ours:
                    problem = problem_for("rate_exceeded")
                    return SendError(problem, detail="No turn came")
                answer: Answer = ask(**named)
        except SendError as error:
            return error
        except _SDK_ERRORS as error:
            if isinstance(error, ClientError):
                self._note_clock(service, error.response)
                if _is_not_found(error):
                    return None
            return explain_question(error, region=region)
        self._note_clock(service, answer)
        if not answer["ResponseMetadata"].get("RequestId"):
            # Only AWS numbers its replies: a portal's page can look like an empty one.
            problem = problem_for("not_aws", dot_region=f".{region}")
            return SendError(problem, detail="HTTP 200 without a request number")
        return answer

    def _note_clock(self, service: str, answer: Mapping[str, Any]) -> None:
        """Compare the clocks; an answer that says no has the time of AWS, too."""
        metadata = answer.get("ResponseMetadata", {})
        headers = metadata.get("HTTPHeaders", {})
        is_of_aws = service == "sts" and metadata.get("RequestId")
        if not is_of_aws or "date" not in headers:
            return
        try:
            theirs = parsedate_to_datetime(headers["date"])
        except ValueError:
            return
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=UTC)
        self.clock_ahead = datetime.now(UTC) - theirs

    @cached_property
    def _session(self) -> boto3.session.Session:
        try:
            return session_of(credentials_of(self._sender))
        except BotoCoreError as error:
            raise explain_question(error, region=self.region) from error

    def _client(self, service: str, region: str) -> Any:
        if (service, region) not in self._clients:
            make: Callable[..., Any] = self._session.client
            self._clients[service, region] = make(
                service, region_name=region, config=_CONFIG
            )
        return self._clients[service, region]


def _given(answer: Answer | SendError | None) -> Answer:
    if answer is None:
        raise SendError(problem_for("request_refused"), code="NotFoundException")
    if isinstance(answer, SendError):
        raise answer
    return answer


def _is_not_found(error: ClientError) -> bool:
    """Whether AWS itself says that there is none; anybody can answer 404."""
    metadata = error.response.get("ResponseMetadata", {})
    code = error.response.get("Error", {}).get("Code", "")
    return code == "NotFoundException" and bool(metadata.get("RequestId"))


def _other_regions(session: boto3.session.Session, region: str) -> list[str]:
    partition = session.get_partition_for_region(region)
    known = session.get_available_regions("sesv2", partition)
    others = [name for name in known if name != region and "fips" not in name]
    return sorted(others, key=lambda name: (_rank(name), name))


def _rank(region: str) -> int:
    if region in _BUSY_REGIONS:
        return _BUSY_REGIONS.index(region)
    return len(_BUSY_REGIONS)
