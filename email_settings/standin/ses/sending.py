"""Sending a mail."""

import re
from datetime import timedelta
from email import message_from_bytes
from email.utils import getaddresses

from email_settings.standin.account import SIMULATOR, ConfigurationSet
from email_settings.standin.asking import Answer, Ask, Operation
from email_settings.standin.refused import RefusedError
from email_settings.standin.ses import events
from email_settings.standin.ses.rights import allow
from email_settings.standin.ses.sets import known_set

DAY, SECOND = timedelta(hours=24), timedelta(seconds=1)
LARGEST_MAIL = 40 * 1024 * 1024  # bytes, after base64
_ADDRESS = re.compile(r"[^\s@\x00-\x1f]+@[^\s@]+\.[^\s@]+")


def send_email(ask: Ask) -> Answer:
    raw = ask.parameters.get("Content", {}).get("Raw", {}).get("Data")
    if raw is None:
        raise RefusedError(
            "BadRequestException", "Only raw content is understood here."
        )
    sender, recipients = _sender(raw), _recipients(ask)
    known = _set(ask, sender)
    _check_rights(ask, sender, recipients, known)
    _check_account(ask, known)
    _check_message(raw, recipients)
    _check_identities(ask, sender, recipients)
    _check_mail_from(ask, sender)
    _check_limits(ask, len(recipients))
    tags = {tag["Name"]: tag["Value"] for tag in ask.parameters.get("EmailTags", [])}
    name = known.name if known else ""
    mail = ask.account.take(ask.region, recipients, raw, tags, name)
    if known:
        events.follow(ask, known, mail, sender)
    return {"MessageId": mail.message_id}


def _set(ask: Ask, sender: str) -> ConfigurationSet | None:
    """Return the set that the mail names, or else its sender's own."""
    identity = ask.region.verified_identity(sender)
    name = ask.text("ConfigurationSetName") or (
        identity.configuration_set if identity else ""
    )
    return known_set(ask, name) if name else None


def _check_rights(
    ask: Ask, sender: str, recipients: tuple[str, ...], known: ConfigurationSet | None
) -> None:
    """Ask for SendRawEmail, which raw content needs whatever the operation is called.

    In the sandbox the verified recipients are asked about, too.
    """
    names = [sender]
    if not ask.region.is_production:
        names += recipients
    for name in names:
        identity = ask.region.verified_identity(name)
        resource = f"identity/{identity.name if identity else name}"
        allow(ask, "ses:SendRawEmail", resource, ses__fromaddress=sender)
    if known:
        allow(ask, "ses:SendRawEmail", known.arn_part, ses__fromaddress=sender)


def _check_account(ask: Ask, known: ConfigurationSet | None) -> None:
    if ask.region.enforcement == "SHUTDOWN":
        raise RefusedError(
            "MessageRejected",
            "Sending paused for this account. For more information, please check "
            "the inbox of the email address associated with your AWS account.",
        )
    if not ask.region.is_sending_enabled:
        raise RefusedError(
            "SendingPausedException", "Email sending is disabled for this account."
        )
    if known and not known.may_send:
        raise RefusedError(
            "SendingPausedException",
            f"Email sending is disabled for configuration set <{known.name}>.",
        )


def _check_message(raw: bytes, recipients: tuple[str, ...]) -> None:
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


def _check_identities(ask: Ask, sender: str, recipients: tuple[str, ...]) -> None:
    region = ask.region
    failed = [] if region.is_verified(sender) else [sender]
    if not region.is_production:
        failed += [
            recipient
            for recipient in recipients
            if not recipient.endswith(f"@{SIMULATOR}")
            and not region.is_verified(recipient)
        ]
    if failed:
        raise RefusedError(
            "MessageRejected",
            "Email address is not verified. The following identities failed the "
            f"check in region {region.name.upper()}: {', '.join(failed)}",
        )


def _check_mail_from(ask: Ask, sender: str) -> None:
    identity = ask.region.verified_identity(sender)
    if (
        identity
        and identity.mail_from
        and identity.mail_from.on_failure == "REJECT_MESSAGE"
        and ask.account.mail_from_status(ask.region, identity) != "SUCCESS"
    ):
        raise RefusedError(
            "MailFromDomainNotVerifiedException", "Mail FROM domain is not verified"
        )


def _check_limits(ask: Ask, count: int) -> None:
    region, now = ask.region, ask.account.now()
    if region.sent_since(now - SECOND) + count > region.rate:
        raise RefusedError(
            "TooManyRequestsException", "Maximum sending rate exceeded.", 429
        )
    quota = region.quota
    if quota >= 0 and region.sent_since(now - DAY) + count > quota:
        raise RefusedError("LimitExceededException", "Daily message quota exceeded.")


def _sender(raw: bytes) -> str:
    """Return the address in the From of a mail, "" when there is none."""
    found = getaddresses([str(message_from_bytes(raw)["From"] or "")])
    return found[0][1] if found else ""


def _recipients(ask: Ask) -> tuple[str, ...]:
    destination = ask.parameters.get("Destination", {})
    kinds = ("ToAddresses", "CcAddresses", "BccAddresses")
    return tuple(address for kind in kinds for address in destination.get(kind, []))


OPERATIONS: dict[str, Operation] = {"SendEmail": send_email}
