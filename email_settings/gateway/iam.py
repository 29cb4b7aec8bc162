"""The access keys of an IAM user, asked and changed with one of them.

Only where the user's policy allows it: TicketFlow works without any of these rights.
https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from email_settings.credentials import Credentials, Secret
from email_settings.gateway.errors import ErrorClass, SendError, explain, problem_for
from email_settings.gateway.sessions import session_of, sts_region

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

# No retries: CreateAccessKey done twice leaves a key that nobody knows the secret of.
_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=5)


@dataclass(frozen=True)
class KeyOfUser:
    """An access key as IAM lists it."""

    access_key_id: str
    is_active: bool
    created_at: datetime


@dataclass(frozen=True)
class LastUse:
    """When IAM last saw a key used; it may be some hours behind."""

    at: datetime
    service: str
    region: str


@dataclass(frozen=True)
class Who:
    """Whom credentials belong to."""

    account_id: str
    arn: str

    @property
    def user(self) -> str:
        """The name of the IAM user, "" for anybody else."""
        kind, _, name = self.arn.rpartition(":")[2].partition("/")
        return name.rpartition("/")[2] if kind == "user" else ""


def is_denied(error: SendError) -> bool:
    """Whether a policy does not allow what was asked."""
    return error.code in {"AccessDenied", "AccessDeniedException"}


def is_no_such(error: SendError) -> bool:
    """Whether there is no such key (any more)."""
    return error.code in {"NoSuchEntity", "NoSuchEntityException"}


def is_one_too_many(error: SendError) -> bool:
    """Whether the user has two keys already, the most there can be."""
    return error.code in {"LimitExceeded", "LimitExceededException"}


def who_is(credentials: Credentials) -> Who:
    """Ask STS, which needs no permission. Raises SendError."""
    with _explained(credentials):
        session = session_of(credentials)
        region = sts_region(session, credentials.region)
        client = session.client("sts", region_name=region, config=_CONFIG)
        answer = client.get_caller_identity()
    return Who(answer.get("Account", ""), answer.get("Arn", ""))


def list_keys(credentials: Credentials) -> list[KeyOfUser]:
    """Return the keys of the user whom the credentials belong to. Raises SendError."""
    with _explained(credentials):
        listed = _client(credentials).list_access_keys()["AccessKeyMetadata"]
    return [
        KeyOfUser(key["AccessKeyId"], key["Status"] == "Active", key["CreateDate"])
        for key in listed
    ]


def create_key(credentials: Credentials) -> tuple[str, Secret]:
    """Have another key made for the same user; return its id and its secret.

    The secret is told this once. Raises SendError; unless that is a refusal, a key may
    have been made all the same.
    """
    with _explained(credentials):
        made = _client(credentials).create_access_key()["AccessKey"]
    return made["AccessKeyId"], Secret(made["SecretAccessKey"])


def set_active(
    credentials: Credentials, access_key_id: str, *, user: str, is_active: bool
) -> None:
    """Switch a key on or off. Raises SendError."""
    with _explained(credentials):
        _client(credentials).update_access_key(
            AccessKeyId=access_key_id,
            Status="Active" if is_active else "Inactive",
            **_named(user),
        )


def delete_key(credentials: Credentials, access_key_id: str, *, user: str) -> None:
    """Delete a key; one that is gone already is fine. Raises SendError."""
    try:
        with _explained(credentials):
            _client(credentials).delete_access_key(
                AccessKeyId=access_key_id, **_named(user)
            )
    except SendError as error:
        if not is_no_such(error):
            raise


def last_use(credentials: Credentials, access_key_id: str) -> LastUse | None:
    """Return when a key was last used, None for never. Raises SendError."""
    with _explained(credentials):
        answer = _client(credentials).get_access_key_last_used(
            AccessKeyId=access_key_id
        )
    last = answer["AccessKeyLastUsed"]
    at = last.get("LastUsedDate")
    return LastUse(at, last["ServiceName"], last["Region"]) if at else None


def _named(user: str) -> dict[str, str]:
    # Without a name IAM takes the user who signs.
    return {"UserName": user} if user else {}


def _client(credentials: Credentials) -> "IAMClient":
    return session_of(credentials).client("iam", config=_CONFIG)


@contextmanager
def _explained(credentials: Credentials) -> Iterator[None]:
    # KeyError is what the SDK makes of a portal's page where XML should be.
    try:
        yield
    except (ClientError, BotoCoreError, ResponseParserError, KeyError) as error:
        found = explain(error, region=credentials.region)
        if found.problem.kind is ErrorClass.UNKNOWN:
            # No mail was sent, so none is in doubt.
            problem = problem_for("aws_unavailable")
            found = SendError(problem, found.detail, found.code, found.request_id)
        raise found from error
