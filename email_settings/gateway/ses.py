"""Amazon SES through the API v2: one raw MIME, one recipient, one POST."""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from email_settings.credentials import (
    Credentials,
    CredentialsMissingError,
    ServerRoleOffError,
    is_server_role_allowed,
    read_credentials,
)
from email_settings.gateway import wire
from email_settings.gateway.base import Outgoing
from email_settings.gateway.errors import SendError, explain, problem_for
from email_settings.gateway.sessions import session_of
from email_settings.models import SesSettings
from ticketflow.lib.encryption import EncryptionError, KeyFileError, KeyMissingError

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

USER_AGENT = f"TicketFlow Boto3/{boto3.__version__}"
CONNECT_SECONDS = 5
READ_SECONDS = 15  # for each piece of the answer
CALL_SECONDS = 60  # for the whole call: well below delivery.claim.LEASE
# Amazon SES gives 60 characters. Something in its place may not, and an id that the
# database can't take would stop all mail behind it.
LONGEST_ID = 100


class _Set(TypedDict, total=False):
    """How SES calls the rules that a mail goes by."""

    ConfigurationSetName: str


class SesGateway:
    """Sends through one account in one region. Safe to share between threads."""

    def __init__(self, client: "SESV2Client", *, region: str) -> None:
        self._client = client
        self._region = region

    def send(self, outgoing: Outgoing) -> str:
        """Hand the mail to Amazon SES in exactly one POST and return its id there.

        Raises SendError; its problem's kind says whether the mail may have left.
        """
        with wire.one_call(seconds=CALL_SECONDS) as call:
            try:
                response = self._client.send_email(
                    # From and Reply-To are read from the MIME; given here they
                    # replace it. A set that is missing is refused, and all mail held:
                    # without it nobody would hear of a bounce.
                    **_set_of(outgoing),
                    Destination={"ToAddresses": [outgoing.recipient]},
                    Content={"Raw": {"Data": outgoing.mime}},
                    EmailTags=[
                        {"Name": name, "Value": value}
                        for name, value in outgoing.tags.items()
                    ],
                )
            # RuntimeError: temporary credentials could not be renewed.
            except (
                ClientError,
                BotoCoreError,
                ResponseParserError,
                RuntimeError,
            ) as error:
                raise explain(
                    error,
                    from_email=outgoing.from_email,
                    region=self._region,
                    recipient=outgoing.recipient,
                    has_begun=call.has_begun,
                ) from error
        # A portal's page with status 200 comes out as a success without an id.
        message_id = response.get("MessageId", "")
        if not message_id:
            raise SendError(
                problem_for("empty_answer"),
                detail="HTTP 200 without MessageId",
                request_id=response["ResponseMetadata"].get("RequestId", ""),
            )
        return message_id.replace("\0", "")[:LONGEST_ID]


def _set_of(outgoing: Outgoing) -> "_Set":
    if not outgoing.configuration_set:
        return {}
    return {"ConfigurationSetName": outgoing.configuration_set}


def make_client(credentials: Credentials, *, slots: int) -> "SESV2Client":
    """Return a client for sending from so many threads; takes some 50 ms.

    The SDK's own retries are off: after a timeout it would post the mail again, and
    SES has no token that would make the second post harmless.
    """
    client = session_of(credentials).client(
        "sesv2",
        config=Config(
            # The account's trail of calls names the program. The SDK's own words would
            # be put together anew for each mail, in a twelfth of the time of the call.
            user_agent=USER_AGENT,
            # What is sent has been built with types; walking through it costs a mail 4 %.
            parameter_validation=False,
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=slots,
        ),
    )
    wire.watch(client)
    return client


@dataclass
class _Cached:
    key: tuple[object, ...]
    gateway: SesGateway


_cached: _Cached | None = None
_building = threading.Lock()


def gateway_for(settings_row: SesSettings, *, slots: int) -> SesGateway:
    """Return the gateway of these settings, the same one until they change.

    Raises SendError when the credentials are not complete or can't be read.
    """
    global _cached  # one client a process is the point
    key = (
        settings_row.version,
        settings_row.source,
        is_server_role_allowed(),
        settings_row.access_key_id,
        settings_row.secret_access_key_encrypted,
        settings_row.role_arn,
        settings_row.external_id,
        settings_row.region,
        slots,
    )
    with _building:
        if _cached is None or _cached.key != key:
            credentials = credentials_of(settings_row)
            _cached = _Cached(key, _build(credentials, slots))
        return _cached.gateway


def _build(credentials: Credentials, slots: int) -> SesGateway:
    try:
        client = make_client(credentials, slots=slots)
    except BotoCoreError as error:
        raise explain(error, region=credentials.region) from error
    return SesGateway(client, region=credentials.region)


def credentials_of(settings_row: SesSettings) -> Credentials:
    if not settings_row.from_email:
        raise SendError(problem_for("not_configured"), detail="No From Email")
    try:
        return read_credentials(settings_row)
    except ServerRoleOffError as error:
        raise SendError(problem_for("server_role_off"), detail=str(error)) from error
    except CredentialsMissingError as error:
        raise SendError(problem_for("not_configured"), detail=str(error)) from error
    except KeyMissingError as error:
        problem = problem_for("encryption_key_missing", key_id=error.key_id)
        raise SendError(problem, detail=str(error)) from error
    except KeyFileError as error:
        raise SendError(problem_for("key_file_unusable"), detail=str(error)) from error
    except EncryptionError as error:
        raise SendError(problem_for("secret_unreadable"), detail=str(error)) from error
