"""Amazon SES, API v2: what it answers to each operation that TicketFlow uses.

The words of its refusals are AWS's own; where each was found is told in the catalogue of
errors of the gateway.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from email import message_from_bytes
from email.utils import getaddresses
from typing import Any

from email_settings.standin.account import (
    ACCOUNT_ID,
    SIMULATOR,
    Account,
    Identity,
    Region,
)
from email_settings.standin.refused import RefusedError
from email_settings.standin.signature import Signer

DAY, SECOND = timedelta(hours=24), timedelta(seconds=1)
LARGEST_MAIL = 40 * 1024 * 1024  # bytes, after base64
_ADDRESS = re.compile(r"[^\s@\x00-\x1f]+@[^\s@]+\.[^\s@]+")

Parameters = Mapping[str, Any]
Operation = Callable[["Ses", Parameters], dict[str, Any]]


class Ses:
    """SES of one account in one region, asked by one key."""

    def __init__(self, account: Account, signer: Signer) -> None:
        self.account = account
        self.signer = signer
        self.region: Region = account.region(signer.region)

    def answer(self, operation: str, parameters: Parameters) -> dict[str, Any]:
        """Do it. Raises RefusedError."""
        if not self.region.is_enabled:
            # The very words for a key that is unknown: AWS does not tell them apart.
            raise RefusedError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                403,
            )
        if operation not in OPERATIONS:
            raise RefusedError("UnknownOperationException", "", 404)
        return OPERATIONS[operation](self, parameters)

    # The account

    def get_account(self, parameters: Parameters) -> dict[str, Any]:
        self._allow("ses:GetAccount")
        since = self.account.now() - DAY
        return {
            "DedicatedIpAutoWarmupEnabled": False,
            "EnforcementStatus": self.region.enforcement,
            "ProductionAccessEnabled": self.region.is_production,
            "SendingEnabled": self.region.is_sending_enabled,
            "SendQuota": {
                "Max24HourSend": self.region.quota,
                "MaxSendRate": self.region.rate,
                "SentLast24Hours": float(self.region.sent_since(since)),
            },
        }

    # Identities

    def get_email_identity(self, parameters: Parameters) -> dict[str, Any]:
        name = str(parameters["EmailIdentity"])
        self._allow("ses:GetEmailIdentity", f"identity/{name}")
        identity = self.region.identities.get(name)
        if identity is None:
            raise RefusedError(
                "NotFoundException", f"Email identity {name} does not exist.", 404
            )
        return {
            "IdentityType": "EMAIL_ADDRESS" if "@" in name else "DOMAIN",
            "VerifiedForSendingStatus": identity.is_verified,
            "VerificationStatus": "SUCCESS" if identity.is_verified else "PENDING",
            "FeedbackForwardingStatus": True,
        }

    def create_email_identity(self, parameters: Parameters) -> dict[str, Any]:
        name = str(parameters["EmailIdentity"])
        self._allow("ses:CreateEmailIdentity", f"identity/{name}")
        if name in self.region.identities:
            raise RefusedError(
                "AlreadyExistsException", f"Email identity {name} already exist."
            )
        self.region.identities[name] = Identity(name, is_verified=False)
        return {
            "IdentityType": "EMAIL_ADDRESS" if "@" in name else "DOMAIN",
            "VerifiedForSendingStatus": False,
        }

    def list_email_identities(self, parameters: Parameters) -> dict[str, Any]:
        self._allow("ses:ListEmailIdentities")
        return {
            "EmailIdentities": [
                {
                    "IdentityName": identity.name,
                    "IdentityType": "EMAIL_ADDRESS"
                    if "@" in identity.name
                    else "DOMAIN",
                    "SendingEnabled": identity.is_verified,
                    "VerificationStatus": "SUCCESS"
                    if identity.is_verified
                    else "PENDING",
                }
                for identity in self.region.identities.values()
            ]
        }

    # Sending

    def send_email(self, parameters: Parameters) -> dict[str, Any]:
        raw = parameters.get("Content", {}).get("Raw", {}).get("Data")
        if raw is None:
            raise RefusedError(
                "BadRequestException", "Only raw content is understood here."
            )
        sender = _sender(raw)
        # Raw content is authorised as SendRawEmail, whatever the operation is called.
        self._allow("ses:SendRawEmail", f"identity/{sender}")
        recipients = _recipients(parameters)
        self._check_account()
        self._check_message(raw, recipients)
        self._check_identities(sender, recipients)
        self._check_limits(len(recipients))
        tags = {tag["Name"]: tag["Value"] for tag in parameters.get("EmailTags", [])}
        mail = self.account.take(self.region, recipients, raw, tags)
        return {"MessageId": mail.message_id}

    def _check_account(self) -> None:
        if self.region.enforcement == "SHUTDOWN":
            raise RefusedError(
                "MessageRejected",
                "Sending paused for this account. For more information, please check "
                "the inbox of the email address associated with your AWS account.",
            )
        if not self.region.is_sending_enabled:
            raise RefusedError(
                "SendingPausedException", "Email sending is disabled for this account."
            )

    def _check_message(self, raw: bytes, recipients: tuple[str, ...]) -> None:
        if len(raw) > LARGEST_MAIL:
            raise RefusedError(
                "BadRequestException", "Message length is more than 41943040 bytes long"
            )
        for recipient in recipients:
            if "@" not in recipient:
                raise RefusedError("BadRequestException", "Missing final '@domain'")
            if not recipient.isascii():
                raise RefusedError(
                    "BadRequestException",
                    "Local address contains control or whitespace",
                )
            if not _ADDRESS.fullmatch(recipient):
                raise RefusedError(
                    "BadRequestException", "Domain contains illegal character"
                )

    def _check_identities(self, sender: str, recipients: tuple[str, ...]) -> None:
        failed = [] if self.region.is_verified(sender) else [sender]
        if not self.region.is_production:
            failed += [
                recipient
                for recipient in recipients
                if not recipient.endswith(f"@{SIMULATOR}")
                and not self.region.is_verified(recipient)
            ]
        if failed:
            raise RefusedError(
                "MessageRejected",
                "Email address is not verified. The following identities failed the "
                f"check in region {self.region.name.upper()}: {', '.join(failed)}",
            )

    def _check_limits(self, count: int) -> None:
        now = self.account.now()
        if self.region.sent_since(now - SECOND) + count > self.region.rate:
            raise RefusedError(
                "TooManyRequestsException", "Maximum sending rate exceeded.", 429
            )
        quota = self.region.quota
        if quota >= 0 and self.region.sent_since(now - DAY) + count > quota:
            raise RefusedError(
                "LimitExceededException", "Daily message quota exceeded."
            )

    def _allow(self, action: str, resource: str = "") -> None:
        """Raise RefusedError unless the policy of the key allows the action."""
        if self.signer.key.may(action):
            return
        arn = f"arn:aws:ses:{self.region.name}:{ACCOUNT_ID}:{resource}"
        raise RefusedError(
            "AccessDeniedException",
            f"User: {self.signer.key.arn} is not authorized to perform: {action} on "
            f"resource: {arn if resource else '*'} because no identity-based policy "
            f"allows the {action} action",
            403,
        )


OPERATIONS: dict[str, Operation] = {
    "CreateEmailIdentity": Ses.create_email_identity,
    "GetAccount": Ses.get_account,
    "GetEmailIdentity": Ses.get_email_identity,
    "ListEmailIdentities": Ses.list_email_identities,
    "SendEmail": Ses.send_email,
}


def _sender(raw: bytes) -> str:
    """Return the address in the From of a mail, "" when there is none."""
    found = getaddresses([str(message_from_bytes(raw)["From"] or "")])
    return found[0][1] if found else ""


def _recipients(parameters: Parameters) -> tuple[str, ...]:
    destination = parameters.get("Destination", {})
    kinds = ("ToAddresses", "CcAddresses", "BccAddresses")
    return tuple(address for kind in kinds for address in destination.get(kind, []))
