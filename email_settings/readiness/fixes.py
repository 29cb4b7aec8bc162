"""What the checklist can mend by itself, once an admin says so."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from email_settings.events.connect import Connection, save_connection
from email_settings.gateway.errors import SendError
from email_settings.gateway.setup import SenderIdentity, Setup, StepError
from email_settings.models import SesSettings
from email_settings.provisioning import making
from email_settings.provisioning.place import Place
from email_settings.provisioning.policy import statement_for
from email_settings.readiness import run
from email_settings.readiness.checks.identities import domain_of, with_parents
from email_settings.readiness.checks.mail_from import PREFERENCE, SPF
from email_settings.readiness.finding import DnsRecord
from ticketflow.errors import DomainError


@dataclass(frozen=True)
class Fix:
    """A button of a line of the checklist, and where it leads."""

    label: str
    url_name: str


FIXES: dict[str, Fix] = {
    "create_identity": Fix("Create it in Amazon SES", "email_settings:fix-identity"),
    "set_mail_from": Fix("Set a MAIL FROM domain", "email_settings:fix-mail-from"),
    "request_production": Fix(
        "Request production access", "email_settings:fix-production"
    ),
    "connect_events": Fix("Connect delivery events", "email_settings:fix-events"),
}


class FixError(DomainError):
    """AWS did not do it. What was done before the step that failed stays done."""

    def __init__(
        self, title: str, why: str, fix: str, *, statement: str = "", words: str = ""
    ) -> None:
        """`statement` is JSON to add to the IAM policy, `words` are AWS's own."""
        super().__init__(title)
        self.title = title
        self.why = why
        self.fix = fix
        self.statement = statement
        self.words = words

    @property
    def is_denied(self) -> bool:
        """Whether it is a right that is missing."""
        return bool(self.statement)


class AlreadyAskedError(FixError):
    """AWS looks at a request of this account already."""


# The sender


@dataclass(frozen=True)
class IdentityMade:
    """What became of an identity, and what it wants in DNS."""

    name: str
    is_new: bool
    is_verified: bool
    records: tuple[DnsRecord, ...]

    @property
    def is_address(self) -> bool:
        return "@" in self.name


def names_for(from_email: str) -> list[str]:
    """Return what may be created for a sender: its domain, those above it, itself."""
    local = from_email.rpartition("@")[0]
    domain = domain_of(from_email)
    return [*with_parents(domain), f"{local}@{domain}"]


def create_identity(sender: SesSettings, name: str) -> IdentityMade:
    """Have Amazon SES know an address or a domain, at most 5 seconds.

    Raises FixError.
    """
    try:
        with Setup(sender) as setup:
            made = setup.create_identity(name)
    except StepError as error:
        raise refusal_of(sender, error, f"{name} was not created.") from error
    finally:
        run.want("sender", "dkim", "mail_from")
    return IdentityMade(made.name, made.is_new, made.is_verified, _dkim_records(made))


def _dkim_records(made: SenderIdentity) -> tuple[DnsRecord, ...]:
    return tuple(
        DnsRecord("CNAME", f"{token}._domainkey.{made.name}", f"{token}.{made.zone}")
        for token in made.tokens
    )


# MAIL FROM


@dataclass(frozen=True)
class MailFromSet:
    """The MAIL FROM domain of an identity, and what it wants in DNS."""

    identity: str
    domain: str
    records: tuple[DnsRecord, ...]


def usual_mail_from(from_email: str) -> str:
    return f"bounce.{domain_of(from_email)}"


def set_mail_from(sender: SesSettings, domain: str) -> MailFromSet:
    """Set the MAIL FROM domain of the sender's domain, at most 5 seconds.

    Until its records are found, mail leaves as before. Raises FixError.
    """
    # Only identities that the name lies below: for others AWS refuses it.
    own = domain_of(sender.from_email)
    identities = [name for name in with_parents(own) if domain.endswith(f".{name}")]
    try:
        with Setup(sender) as setup:
            identity = setup.set_mail_from(identities, domain)
    except StepError as error:
        raise refusal_of(sender, error, f"{domain} was not set.") from error
    finally:
        run.want("mail_from")
    if not identity:
        raise FixError(
            f"Amazon SES does not know {own} in {sender.region}.",
            "A MAIL FROM domain belongs to a domain that was created there.",
            "Create the domain in Amazon SES first.",
        )
    region = sender.region
    mx = f"{PREFERENCE} feedback-smtp.{region}.amazonses.com"
    records = (DnsRecord("MX", domain, mx), DnsRecord("TXT", domain, SPF))
    return MailFromSet(identity, domain, records)


# The sandbox


def request_production(
    sender: SesSettings, *, website: str, use_case: str, contacts: Sequence[str]
) -> None:
    """Ask AWS to let the account out of the sandbox, at most 5 seconds.

    Raises AlreadyAskedError and FixError.
    """
    try:
        with Setup(sender) as setup:
            setup.request_production(
                website=website, use_case=use_case, contacts=contacts
            )
    except StepError as error:
        if error.code == "ConflictException":
            raise AlreadyAskedError(
                "AWS looks at a request already.",
                f"One was sent for this account in {sender.region} before, and is not "
                "decided. This one was not sent.",
                "Wait for AWS’s answer, which comes by mail to the owner of the account, "
                "mostly within a day. To add something, answer the case in the AWS "
                "Support Center.",
                words=error.error.record,
            ) from error
        raise refusal_of(sender, error, "The request was not sent.") from error
    finally:
        run.want("account")


# Events


@dataclass(frozen=True)
class Made:
    """One thing in AWS that events need."""

    what: str
    name: str


def what_events_need(sender: SesSettings) -> list[Made]:
    """Return what connecting events makes, by name."""
    names = Place.of(sender).names
    return [
        Made("Configuration set", names.configuration_set),
        Made("SNS topic", names.topic),
        Made("SQS queue", names.queue),
        Made("SQS queue for what can’t be read", names.dead_letters),
    ]


def connect_events(sender: SesSettings, *, actor: AbstractBaseUser) -> SesSettings:
    """Make in AWS what events need, at most 5 seconds, and use it from now on.

    Returns the settings. Raises FixError; nothing is used then, and pressing again goes
    on where it ended.
    """
    place = Place.of(sender)
    try:
        with Setup(sender) as setup:
            topic_arn, queue_url = _make_feed(setup, place)
    except StepError as error:
        raise refusal_of(sender, error, "Events are not connected.") from error
    made = Connection(place.names.configuration_set, queue_url, topic_arn)
    return _use_feed(sender, made, actor)


def _make_feed(setup: Setup, place: Place) -> tuple[str, str]:
    names = place.names
    setup.create_set(names.configuration_set, making.SUPPRESSED_REASONS)
    topic_arn = setup.create_topic(names.topic)
    # Whose account it is stands in the ARN, whether or not it was known before.
    place = replace(place, account=topic_arn.split(":")[4])
    setup.set_topic(
        topic_arn,
        SignatureVersion="2",
        Policy=json.dumps(making.topic_policy(place)),
    )
    kept = {
        "MessageRetentionPeriod": str(making.KEEP_SECONDS),
        "SqsManagedSseEnabled": "true",
    }
    setup.create_queue(names.dead_letters, kept)
    redrive = {
        "deadLetterTargetArn": place.dead_letters,
        "maxReceiveCount": making.TRIES,
    }
    queue = {
        **kept,
        "VisibilityTimeout": str(making.HIDE_SECONDS),
        "ReceiveMessageWaitTimeSeconds": str(making.POLL_SECONDS),
        "RedrivePolicy": json.dumps(redrive),
        "Policy": json.dumps(making.queue_policy(place)),
    }
    queue_url = setup.create_queue(names.queue, queue)
    setup.subscribe(topic_arn, place.queue)
    setup.publish_events(
        names.configuration_set, names.event_destination, topic_arn, making.EVENT_TYPES
    )
    return topic_arn, queue_url


@transaction.atomic
def _use_feed(
    sender: SesSettings, made: Connection, actor: AbstractBaseUser
) -> SesSettings:
    row = SesSettings.load_to_change()
    # Whoever pressed twice at once finds it done.
    if any(getattr(row, name) != value for name, value in asdict(made).items()):
        if row.version != sender.version:
            raise FixError(
                "Events are not connected.",
                "Somebody saved other settings in this very moment.",
                "Look at the settings, and then press the button again.",
            )
        row = save_connection(actor=actor, values=made)
    run.want("permission", "events", "simulator")
    return row


# What AWS said


def refusal_of(sender: SesSettings, error: StepError, title: str) -> FixError:
    """Return what AWS refused in plain words, and how it is mended."""
    problem = error.error.problem
    words = error.error.record
    if error.is_denied:
        return FixError(
            title,
            f"The access key may not do this ({error.action}). That is no fault: it "
            "never needs to for sending.",
            "Do it by hand in AWS as described below, or let the key do it: add this "
            "statement to its policy, and press the button again.",
            statement=statement_for(error.action, sender),
            words=words,
        )
    if error.is_too_slow:
        return FixError(
            title,
            "AWS did not answer within 5 seconds, or it takes only one such question a "
            "second and others came first.",
            "Press the button again. What was done already stays, and doing it twice "
            "changes nothing.",
            words=words,
        )
    if error.is_unanswered:
        return FixError(
            title,
            f"{problem.title} {problem.why}",
            f"{problem.fix} Then press the button again: doing it twice changes nothing.",
            words=words,
        )
    return FixError(title, *_told(error.error, error.code), words=words)


def _told(error: SendError, code: str) -> tuple[str, str]:
    """Return why and what to do for a refusal that is not about rights."""
    problem = error.problem
    if code in {"BadRequestException", "InvalidParameter", "InvalidParameterValue"}:
        return (
            f"AWS did not take it: {error.detail}",
            "Change what it names, and press the button again.",
        )
    return f"{problem.title} {problem.why}", problem.fix
