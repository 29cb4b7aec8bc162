"""Single calls to AWS whose answer is kept word for word, for `ses_field_check`.

No other part of the product reads AWS this way: it goes through the catalogue.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from email_settings.credentials import Credentials, Secret
from email_settings.gateway.sessions import session_of, sts_region

_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=15)


@dataclass(frozen=True)
class Reply:
    """What came back from one call."""

    code: str = ""  # "" when it was done
    message: str = ""
    status: int = 0  # of HTTP; 0 when nothing came back
    has_request_id: bool = False
    seconds: float = 0.0
    body: dict[str, Any] = field(default_factory=dict)


class Caller:
    """Calls AWS with some credentials, once each, and raises nothing."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def with_secret(self, secret: Secret) -> "Caller":
        """The same key id with another secret."""
        return Caller(replace(self._credentials, secret=secret))

    def with_key(self, access_key_id: str, secret: Secret) -> "Caller":
        return Caller(
            replace(
                self._credentials.of_the_key,
                access_key_id=access_key_id,
                secret=secret,
            )
        )

    def sts(self) -> Reply:
        """Ask whose credentials they are, where every key is known."""
        return self._call("sts", "get_caller_identity", is_sts=True)

    def ses(self, operation: str, region: str = "", **parameters: Any) -> Reply:
        """Call an operation of sesv2, in the region of the credentials or another."""
        return self._call("sesv2", operation, region=region, **parameters)

    def send(
        self, *, sender: str, recipient: str, configuration_set: str = ""
    ) -> Reply:
        """Send one line of text."""
        mime = (
            f"From: {sender}\r\nTo: {recipient}\r\nSubject: TicketFlow field check\r\n"
            "Auto-Submitted: auto-generated\r\n\r\nA check of the set-up.\r\n"
        )
        more = {"ConfigurationSetName": configuration_set} if configuration_set else {}
        return self.ses(
            "send_email",
            Destination={"ToAddresses": [recipient]},
            Content={"Raw": {"Data": mime.encode()}},
            **more,
        )

    def _call(
        self,
        service: str,
        operation: str,
        *,
        region: str = "",
        is_sts: bool = False,
        **parameters: Any,
    ) -> Reply:
        begun = time.monotonic()

        def ask() -> dict[str, Any]:
            session = session_of(self._credentials)
            place = region or self._credentials.region
            if is_sts:
                place = sts_region(session, place)
            client: Any = session.client(  # type: ignore[call-overload]
                service, region_name=place, config=_CONFIG
            )
            try:
                answer: dict[str, Any] = getattr(client, operation)(**parameters)
            finally:
                client.close()
            return answer

        reply = _reply_to(ask)
        return replace(reply, seconds=time.monotonic() - begun)


def _reply_to(ask: Callable[[], dict[str, Any]]) -> Reply:
    try:
        body = ask()
    except ClientError as error:
        said, about = error.response["Error"], error.response["ResponseMetadata"]
        return Reply(
            code=str(said.get("Code", "")),
            message=str(said.get("Message", "")),
            status=int(about.get("HTTPStatusCode", 0)),
            has_request_id=bool(about.get("RequestId")),
        )
    except (BotoCoreError, ResponseParserError, KeyError, RuntimeError) as error:
        return Reply(code=type(error).__name__, message=str(error))
    about = body.pop("ResponseMetadata", {})
    return Reply(
        status=int(about.get("HTTPStatusCode", 0)),
        has_request_id=bool(about.get("RequestId")),
        body=body,
    )
