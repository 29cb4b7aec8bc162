"""What a person sees of each problem, on each of the three ways it can be met.

The stand-in for AWS, or the network before it, is brought to the problem. Then an admin
presses Save Settings, an admin presses Send Test Email, and the worker sends a mail.
"""

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from html import unescape

import pytest
from botocore.config import Config
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from email_settings import alerts
from email_settings.delivery import settle
from email_settings.delivery.pump import Pump
from email_settings.gateway import probe, ses
from email_settings.gateway.catalogue import CATALOGUE
from email_settings.gateway.regions import partition_of, regions
from email_settings.models import OutboxMessage, SesSettings, WorkerHeartbeat
from email_settings.readiness import run
from email_settings.standin.faults import Fault, Trouble
from email_settings.tests.builders import ACCESS_KEY_ID, SECRET, make_message
from email_settings.tests.live_account import DOMAIN, FROM, HERE, LiveAccount

pytestmark = pytest.mark.django_db(transaction=True)

TO = "hannah@elsewhere.example"
USER = "arn:aws:iam::123456789012:user/ticketflow-ses"
ROLE = "arn:aws:iam::123456789012:role/mailer"
INVALID = "The security token included in the request is invalid."
NOT_VERIFIED = (
    "Email address is not verified. The following identities failed the check in "
    "region EU-WEST-1: "
)
POLICIES = (
    "Add this statement to the policies of the IAM user ticketflow-ses, in IAM → Users "
    "→ ticketflow-ses → Permissions"
)
ASK_RECIPIENT = "Ask the recipient whether it arrived. If it did, mark it as sent; if not, resend it."
NETWORK = (
    "Have outgoing connections allowed to email.eu-west-1.amazonaws.com, port 443, by "
    "whoever runs the network of this server."
)
QUOTAS = "Service Quotas → Amazon SES"

State = OutboxMessage.State
HELD, QUEUED, FAILED, UNKNOWN = State.HELD, State.QUEUED, State.FAILED, State.UNKNOWN


class Saving(Enum):
    """What Save Settings comes to."""

    NOT_TAKEN = "the form itself refuses it"
    REFUSED = "Not saved:"
    NO_ANSWER = "Not saved: AWS did not answer"
    SAVED = "Settings saved. AWS named something to mend:"


NOT_TAKEN, REFUSED, NO_ANSWER, SAVED = Saving


@dataclass
class World:
    """All that a row may change before the way is gone."""

    live: LiveAccount
    patch: pytest.MonkeyPatch
    settings: Settings
    form: dict[str, str] = field(default_factory=dict)
    recipient: str = TO

    def store(self, **values: object) -> None:
        SesSettings.objects.update(**values)


Bring = Callable[[World], None]


@dataclass(frozen=True)
class Row:
    """A problem, how to come to it, and what is seen then on all three ways.

    A way that it can't be met on is a reason instead, in words.
    """

    code: str
    bring: Bring
    title: str
    fix: str
    words: str = ""  # AWS's own
    save: Saving | str = SAVED
    # What Save Settings shows, where that differs: title, fix and words
    on_save: tuple[str, str, str] | None = None
    state: OutboxMessage.State | str = HELD  # of the message
    holds: bool = True  # all mail
    test: str = ""  # why Send Test Email can't meet it

    @property
    def seen_on_save(self) -> tuple[str, str, str]:
        return self.on_save or (self.title, self.fix, self.words)

    @property
    def never(self) -> dict[str, str]:
        """The ways it can't be met on, each with the reason."""
        reasons = {"save": self.save, "worker": self.state, "test": self.test}
        if not isinstance(self.state, State):
            reasons["test"] = self.state
        return {
            way: reason
            for way, reason in reasons.items()
            if reason and not isinstance(reason, Saving | State)
        }


# How the world is brought to it


def typed(**form: str) -> Bring:
    return lambda world: world.form.update(form)


def stored(**values: object) -> Bring:
    return lambda world: world.store(**values)


def meets(fault: Fault) -> Bring:
    """Let all sends meet the fault."""

    def bring(world: World) -> None:
        world.live.account.trouble = Trouble(fault, 100)

    return bring


def all_calls_meet(fault: Fault) -> Bring:
    def bring(world: World) -> None:
        world.live.account.trouble = Trouble(fault, 100, meets_all=True)

    return bring


def region(**values: object) -> Bring:
    def bring(world: World) -> None:
        for name, value in values.items():
            setattr(world.live.region, name, value)

    return bring


def key(**values: object) -> Bring:
    def bring(world: World) -> None:
        for name, value in values.items():
            setattr(world.live.key, name, value)

    return bring


def sender_is_unknown(world: World) -> None:
    world.live.region.identities.clear()


def clock_of_aws_is_ahead(world: World) -> None:
    world.live.account.clock_offset = timedelta(minutes=12)


def mail_from_is_missing(world: World) -> None:
    assert world.live.domain.mail_from
    world.live.domain.mail_from.on_failure = "REJECT_MESSAGE"
    world.live.zone.withdraw(world.live.domain.mail_from.domain, "MX")


def set_is_missing(world: World) -> None:
    world.live.domain.configuration_set = "events"


def recipient_is_no_address(world: World) -> None:
    world.recipient = "hannah@elsewhere"


def server_has_nothing(world: World) -> None:
    world.settings.ALLOW_SERVER_ROLE = True
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        world.patch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        world.patch.setenv(name, "/nowhere")
    world.patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nothing = {"access_key_id": "", "secret_access_key": ""}
    world.form.update(source="server", **nothing)
    world.store(
        source="server", access_key_id="", secret_access_key_encrypted="", version=99
    )


def role_is_unknown(world: World) -> None:
    world.form.update(source="role", role_arn=ROLE)
    world.store(source="role", role_arn=ROLE, version=99)


def profile_is_unknown(world: World) -> None:
    # As in a process that begins with it
    regions.cache_clear()
    partition_of.cache_clear()
    world.patch.setenv("AWS_PROFILE", "nobody")


def nobody_listens(world: World) -> None:
    world.patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def line_is_full(world: World) -> None:
    """Lead to a port whose line is full, so that the next caller hears nothing."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    for _ in range(4):
        waiting = socket.socket()
        waiting.settimeout(0)
        waiting.connect_ex(server.getsockname())
        LEFT_OPEN.append(waiting)
    LEFT_OPEN.append(server)
    world.patch.setenv(
        "AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}"
    )


LEFT_OPEN: list[socket.socket] = []


def proxy_is_away(world: World) -> None:
    world.patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.9:9")
    world.patch.setenv("HTTP_PROXY", f"http://me:s3cret@127.0.0.1:{closed_port()}")
    world.patch.setenv("NO_PROXY", "")


def no_tls_is_spoken(world: World) -> None:
    world.patch.setenv("AWS_ENDPOINT_URL", world.live.url.replace("http:", "https:"))


# Why a way can't be gone

FORM = "the form lets nothing of that shape be saved"
OF_ONE_MAIL = "no question to AWS is refused for what is wrong with one mail"
ONLY_SENDS = "AWS says it of sends alone; a question is answered all the same"
LIKE_A_KEY = "AWS words it as an unknown key; only STS tells them apart, and Save Settings asks it"
ON_THE_CHECKLIST = "saving asks AWS no such thing; a line of the checklist does"
CHANGED_NOTHING = (
    "a question that came to nothing has changed nothing, so nobody is in doubt"
)
WHOLE_ADDRESSES = "the form takes whole addresses only"

ROWS = [
    # The form
    Row(
        "access_key_shape",
        typed(access_key_id="XKIAIOSFODNN7EXAMPLE"),
        "This is not an Access Key ID.",
        "It starts with AKIA. Copy it again from IAM → Users → Security credentials.",
        save=NOT_TAKEN,
        state=FORM,
    ),
    Row(
        "temporary_key",
        typed(access_key_id="ASIAIOSFODNN7EXAMPLE"),
        "This is a temporary key.",
        "Create an access key for an IAM user: it starts with AKIA.",
        save=NOT_TAKEN,
        state=FORM,
    ),
    Row(
        "secret_shape",
        typed(secret_access_key=f"{SECRET[:-1]}!"),
        "This is not a Secret Access Key.",
        "AWS shows it once: create a new access key if it is gone.",
        save=NOT_TAKEN,
        on_save=(
            "A character does not belong here.",
            "A Secret Access Key has letters, digits, / and + only.",
            "",
        ),
        state=FORM,
    ),
    Row(
        "smtp_password",
        typed(secret_access_key="BCdefghijk" * 4 + "abcd"),
        "This is the SES SMTP password.",
        "paste the access key's own secret, 40 characters long.",
        save=NOT_TAKEN,
        state=FORM,
    ),
    # Key, clock and way of signing
    Row(
        "key_unknown",
        key(is_active=False),
        "AWS does not know this access key.",
        "Open IAM → Users → your user → Security credentials: the key ID must be listed",
        INVALID,
        save=REFUSED,
    ),
    Row(
        "region_not_enabled",
        region(is_enabled=False),
        "The region eu-west-1 is not enabled in your AWS account.",
        "Enable the region in AWS under Account → AWS Regions",
        INVALID,
        save=REFUSED,
        state=LIKE_A_KEY,
    ),
    Row(
        "secret_mismatch",
        key(secret="x" * 40),
        "The secret access key does not belong to this key ID.",
        "Paste both parts again under Email Settings",
        "The request signature we calculated does not match",
        save=REFUSED,
    ),
    Row(
        "clock_skew",
        clock_of_aws_is_ahead,
        "The clock of this server is wrong by 12 minutes.",
        "It is slow. AWS refuses requests that are more than five minutes off. Have the "
        "clock set over the network",
        "Signature expired: ",
        save=REFUSED,
    ),
    Row(
        "token_expired",
        all_calls_meet(Fault.IS_TOO_OLD),
        "The temporary AWS credentials have ended.",
        "Use the access key of an IAM user; it starts with AKIA.",
        "The security token included in the request is expired",
        save=REFUSED,
    ),
    Row(
        "signature_lost",
        all_calls_meet(Fault.LOSES_SIGNATURE),
        "The request reached AWS without its signature.",
        "Let the proxy pass requests to email.eu-west-1.amazonaws.com unchanged.",
        "Authorization header requires",
        save=REFUSED,
    ),
    Row(
        "account_not_signed_up",
        all_calls_meet(Fault.HAS_NOT_SIGNED_UP),
        "This AWS account has not signed up for Amazon SES.",
        "Open Amazon SES in the AWS console in eu-west-1 and follow its steps.",
        "needs a subscription for the service",
        save=REFUSED,
    ),
    Row(
        "no_credentials",
        server_has_nothing,
        "There are no AWS credentials.",
        "on EC2 attach a role under Actions → Security → Modify IAM role",
        "Unable to locate credentials",
        save=REFUSED,
    ),
    Row(
        "role_refused",
        role_is_unknown,
        "AWS does not let the IAM user ticketflow-ses assume the role mailer.",
        "Open IAM → Roles → the role → Trust relationships",
        f"{USER} is not authorized to perform: sts:AssumeRole on resource: {ROLE}",
        save=REFUSED,
    ),
    Row(
        "sdk_misconfigured",
        profile_is_unknown,
        "The AWS SDK can't be started on this server.",
        "Correct the setting that the SDK's own words name",
        "The config profile (nobody) could not be found",
        save=REFUSED,
    ),
    Row(
        "region_malformed",
        stored(region="eu west", version=99),
        "The AWS region is not a region name.",
        "Choose a region from the list under Email Settings.",
        "eu west",
        save=FORM,
    ),
    # The account
    Row(
        "access_denied",
        key(actions=frozenset()),
        "The access key may not do this: ses:SendRawEmail.",
        f"No policy of the IAM user ticketflow-ses allows it. {POLICIES}",
        f"{USER} is not authorized to perform: ses:SendRawEmail on resource: "
        f"arn:aws:ses:eu-west-1:123456789012:identity/{DOMAIN}",
        on_save=(
            "The access key may not do this: ses:GetAccount.",
            POLICIES,
            "is not authorized to perform: ses:GetAccount",
        ),
    ),
    Row(
        "from_not_verified",
        sender_is_unknown,
        f"Amazon SES does not know the sender {FROM} in this region.",
        "Verify the address or its domain in Amazon SES → Identities in eu-west-1",
        f"{NOT_VERIFIED}{FROM}",
        on_save=(
            f"Amazon SES does not know the sender {FROM} in this region.",
            f"Verify the domain {DOMAIN} in Amazon SES → Identities",
            "",
        ),
    ),
    Row(
        "recipient_not_verified",
        region(is_production=False),
        f"The account is in the sandbox, and {TO} is not verified.",
        "verify this address in Amazon SES → Identities in eu-west-1",
        f"{NOT_VERIFIED}{TO}",
        save=OF_ONE_MAIL,
        holds=False,
    ),
    Row(
        "sending_paused_by_aws",
        region(enforcement="SHUTDOWN"),
        "AWS has paused sending for this account.",
        "Read the mail that AWS sent to the owner of the account, and answer it.",
        "Sending paused for this account.",
    ),
    Row(
        "sending_switched_off",
        region(is_sending_enabled=False),
        "Sending is switched off in Amazon SES.",
        "Switch it on again in Amazon SES → Account dashboard",
        "Email sending is disabled for this account.",
    ),
    Row(
        "account_suspended",
        meets(Fault.IS_SUSPENDED),
        "AWS has suspended e-mail for this account.",
        "Contact AWS Support, or use another AWS account.",
        "The account is suspended.",
        save=ONLY_SENDS,
    ),
    Row(
        "mail_from_not_verified",
        mail_from_is_missing,
        "The custom MAIL FROM domain is not set up.",
        "Publish the MX and TXT records that the checklist under Email Settings shows, "
        "or choose the default MAIL FROM domain in Amazon SES → Identities in eu-west-1",
        "Mail FROM domain is not verified",
        save=ON_THE_CHECKLIST,
    ),
    Row(
        "configuration_set_missing",
        set_is_missing,
        "The configuration set events does not exist in this region.",
        "create the set in Amazon SES → Configuration sets in eu-west-1",
        "Configuration set <events> does not exist.",
        save=ON_THE_CHECKLIST,
    ),
    Row(
        "daily_quota",
        region(max_24_hour_send=0.0),
        "The daily quota of Amazon SES is used up.",
        f"ask AWS for a higher quota under {QUOTAS}",
        "Daily message quota exceeded.",
        save=ON_THE_CHECKLIST,
    ),
    Row(
        "limit_reached",
        meets(Fault.HAS_A_LIMIT),
        "A limit of the AWS account is reached.",
        f"Ask AWS for a higher limit under {QUOTAS}.",
        "Too many sending identities.",
        save=ONLY_SENDS,
    ),
    Row(
        "rate_exceeded",
        meets(Fault.THROTTLES),
        "Amazon SES was asked to send faster than it allows.",
        "Nothing to do: the message is tried again in a moment",
        "Maximum sending rate exceeded.",
        save=ONLY_SENDS,
        state=QUEUED,
        holds=False,
    ),
    # One mail
    Row(
        "recipient_invalid",
        recipient_is_no_address,
        "Amazon SES refused the address of the recipient.",
        "The address hannah@elsewhere is not one that mail can be sent to. Correct the address",
        "Domain contains illegal character",
        save=OF_ONE_MAIL,
        state=FAILED,
        holds=False,
        test=WHOLE_ADDRESSES,
    ),
    Row(
        "message_malformed",
        meets(Fault.FINDS_MISTAKE),
        "Amazon SES refused how this message is built.",
        "Change what AWS's own words on the page of the message name",
        "Duplicate header 'Subject'.",
        save=OF_ONE_MAIL,
        state=FAILED,
        holds=False,
    ),
    Row(
        "message_rejected",
        meets(Fault.REJECTS),
        "Amazon SES refused this message.",
        "Change what they name, then retry the message.",
        "Illegal filename 'invoice.exe'.",
        save=OF_ONE_MAIL,
        state=FAILED,
        holds=False,
    ),
    Row(
        "request_refused",
        meets(Fault.SAYS_SOMETHING_NEW),
        "Amazon SES refused this message for a reason that is not known here.",
        "Search the AWS documentation for them",
        "Nobody has written about this yet.",
        save=OF_ONE_MAIL,
        state=FAILED,
        holds=False,
    ),
    # The way to AWS
    Row(
        "aws_unavailable",
        all_calls_meet(Fault.IS_AWAY),
        "Amazon SES is not available just now.",
        "Nothing to do: the message is tried again.",
        "ServiceUnavailableException",
        save=NO_ANSWER,
        state=QUEUED,
        holds=False,
    ),
    Row(
        "cannot_connect",
        nobody_listens,
        "This server can't reach Amazon SES.",
        NETWORK,
        "Could not connect to the endpoint URL",
        save=NO_ANSWER,
        state=QUEUED,
        holds=False,
    ),
    Row(
        "connect_timeout",
        line_is_full,
        "Amazon SES did not answer the connection.",
        NETWORK,
        "Connect timeout on endpoint URL",
        save=NO_ANSWER,
        state=QUEUED,
        holds=False,
    ),
    Row(
        "proxy_unreachable",
        proxy_is_away,
        "The proxy does not answer.",
        "Correct HTTPS_PROXY and start TicketFlow again, or start the proxy.",
        "Failed to connect to proxy URL",
        save=NO_ANSWER,
        state=QUEUED,
        holds=False,
    ),
    Row(
        "tls_failed",
        no_tls_is_spoken,
        "The connection to AWS can't be trusted.",
        "Set AWS_CA_BUNDLE, in the environment of web and worker",
        "SSL validation failed",
        save=NO_ANSWER,
        state=QUEUED,
        holds=False,
    ),
    Row(
        "not_aws",
        all_calls_meet(Fault.IS_A_PORTAL),
        "Something other than AWS answered.",
        "Let this server reach email.eu-west-1.amazonaws.com directly.",
        save=NO_ANSWER,
        state=QUEUED,
        holds=False,
    ),
    # In doubt
    Row(
        "no_answer",
        meets(Fault.BREAKS),
        "The message went out and no answer came.",
        ASK_RECIPIENT,
        "Connection was closed",
        save=CHANGED_NOTHING,
        state=UNKNOWN,
        holds=False,
    ),
    Row(
        "aws_failed",
        meets(Fault.FAILS),
        "Amazon SES failed while it had the message.",
        ASK_RECIPIENT,
        "InternalServiceErrorException",
        save=CHANGED_NOTHING,
        state=UNKNOWN,
        holds=False,
    ),
    Row(
        "empty_answer",
        all_calls_meet(Fault.IS_A_FRIENDLY_PORTAL),
        "The answer had no message ID.",
        ASK_RECIPIENT,
        "HTTP 200 without MessageId",
        save=CHANGED_NOTHING,
        state=UNKNOWN,
        holds=False,
    ),
]
BY_CODE = {row.code: row for row in ROWS}

# What no answer of AWS and no network leads to, and who tells of it
OF_TICKETFLOW_ITSELF = {
    "not_configured": "nothing is saved",
    "encryption_key_missing": "the key file",
    "key_file_unusable": "the key file",
    "secret_unreadable": "the key file",
    "server_role_off": "a switch of the installation",
    "pacer_unavailable": "Redis",
    "pacer_database_unavailable": "the database",
    "header_refused": "the mail's own name or subject",
    "body_unreadable": "the database",
    "body_key_missing": "the key file",
    "aws_silent": "ten sends in a row that came to nothing",
    "worker_stopped": "the worker",
    "not_started": "the worker",
    "called_off": "another message",
    "rehearsal": "an admin",
    "stopped_by_hand": "an admin",
    "reputation_guard": "what became of mail before it",
    "quota_reserve": "what TicketFlow keeps of the quota",
    "expired": "the age of the message",
    "link_void": "a newer link",
    "suppressed": "the suppression list",
    "address_held": "the suppression list",
    "sender_failed": "an error of TicketFlow",
    "gave_up": "errors of TicketFlow",
}


def test_every_problem_is_in_the_table_once() -> None:
    assert len(BY_CODE) == len(ROWS)
    assert not BY_CODE.keys() & OF_TICKETFLOW_ITSELF.keys()
    assert BY_CODE.keys() | OF_TICKETFLOW_ITSELF.keys() == CATALOGUE.keys()


def test_what_cannot_be_met_on_a_way_is_exactly_this() -> None:
    never = {way: set[str]() for way in ("save", "test", "worker")}
    for row in ROWS:
        for way in row.never:
            never[way].add(row.code)
    forms = {"access_key_shape", "temporary_key", "secret_shape", "smtp_password"}
    assert never == {
        "save": {
            "account_suspended",
            "aws_failed",
            "configuration_set_missing",
            "daily_quota",
            "empty_answer",
            "limit_reached",
            "mail_from_not_verified",
            "message_malformed",
            "message_rejected",
            "no_answer",
            "rate_exceeded",
            "recipient_invalid",
            "recipient_not_verified",
            "region_malformed",
            "request_refused",
        },
        "test": {*forms, "region_not_enabled", "recipient_invalid"},
        "worker": {*forms, "region_not_enabled"},
    }


# The pages


@dataclass(frozen=True)
class Page:
    """A page as a person reads it, and what stands on it in AWS's own words."""

    text: str
    words: str
    html: str

    @classmethod
    def of(cls, html: str) -> "Page":
        blocks = re.findall(r'<pre class="codeblock"[^>]*>(.*?)</pre>', html, re.DOTALL)
        return cls(_read(html), " ".join(map(_read, blocks)), html)


def _read(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).replace("’", "'").split())


@pytest.fixture
def world(
    live: LiveAccount, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """An account that all is well with, a worker that is alive, and little patience."""
    WorkerHeartbeat.objects.create(name="here:1")
    monkeypatch.setattr(ses, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(settle, "_streak", settle.Streak())
    hasty = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=4)
    monkeypatch.setattr(probe, "_CONFIG", hasty)
    yield World(live, monkeypatch, settings)
    while LEFT_OPEN:
        LEFT_OPEN.pop().close()


def save(panel: Client, form: Mapping[str, str]) -> Page:
    """Press Save Settings, and look at what the worker has found out meanwhile."""
    given = {
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET,
        "region": HERE,
        "from_email": FROM,
        "from_name": "Larkfield Help",
        "reply_to": "",
        **form,
    }
    url = reverse("email_settings:settings")
    shown = panel.post(url, given, follow=True)
    assert SECRET not in shown.content.decode()
    html = shown.content.decode()
    if shown.redirect_chain:
        run.run()
        html += panel.get(url).content.decode()
    return Page.of(html)


def press_test(panel: Client, recipient: str) -> Page:
    """Press Send Test Email, let the worker work, and look at the legs."""
    panel.post(reverse("email_settings:settings-test"), {"recipient": recipient})
    found = OutboxMessage.objects.first()
    if found is None:
        return Page.of(panel.get(reverse("email_settings:settings")).content.decode())
    Pump().run()
    url = reverse("email_settings:test-detail", args=[found.uid])
    return Page.of(panel.get(url).content.decode())


def work(panel: Client, recipient: str) -> tuple[Page, Page]:
    """Let the worker send a mail; return its page and that of all mail."""
    message = make_message(recipient=recipient)
    Pump().run()
    url = reverse("email_settings:message-detail", args=[message.uid])
    listed = panel.get(reverse("email_settings:message-list"))
    return Page.of(panel.get(url).content.decode()), Page.of(listed.content.decode())


def names(rows: list[Row]) -> list[str]:
    return [row.code for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_save_settings(panel: Client, world: World, row: Row) -> None:
    row.bring(world)
    shown = save(panel, world.form)
    title, fix, words = row.seen_on_save
    if "save" in row.never:
        assert title not in shown.text
        return
    assert isinstance(row.save, Saving)
    assert title in shown.text
    assert fix in shown.text
    if row.save is not NOT_TAKEN:
        assert row.save.value in shown.text
        assert ("AWS did not answer" in shown.text) == (row.save is NO_ANSWER)
    if row.save is not SAVED or row.on_save:
        assert words in shown.words


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_send_test_email(panel: Client, world: World, row: Row) -> None:
    row.bring(world)
    shown = press_test(panel, world.recipient)
    if "test" in row.never:
        assert row.title not in shown.text
        return
    see(row, shown)
    follows(row)


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_worker_sends(panel: Client, world: World, row: Row) -> None:
    row.bring(world)
    shown, listed = work(panel, world.recipient)
    if "worker" in row.never:
        assert row.title not in shown.text
        return
    see(row, shown)
    follows(row)
    # The banner says it of all mail, or else the line of the mail of this one.
    assert row.title in listed.text
    assert (row.fix in listed.text) == row.holds


def see(row: Row, shown: Page) -> None:
    assert row.title in shown.text
    assert row.fix in shown.text
    assert row.words in shown.words
    assert row.code in shown.words  # each try keeps it for whoever helps


def follows(row: Row) -> None:
    message = OutboxMessage.objects.exclude(kind__in=alerts.KINDS).get()
    assert (message.state, message.reason_code) == (row.state, row.code)
    assert message.reason == row.title
    assert SesSettings.load().hold_code == (row.code if row.holds else "")


@pytest.mark.parametrize("way", ["test", "worker"])
def test_statement_to_add_can_be_copied(panel: Client, world: World, way: str) -> None:
    world.live.key.actions = frozenset()
    if way == "test":
        pages = {press_test(panel, TO): ["verdict-statement", "hold-statement"]}
    else:
        of_message, of_all = work(panel, TO)
        pages = {of_message: ["verdict-statement"], of_all: ["hold-statement"]}
    statement = (
        '{"Effect": "Allow", "Action": ["ses:SendEmail", "ses:SendRawEmail"], '
        f'"Resource": "arn:aws:ses:eu-west-1:123456789012:identity/{DOMAIN}"}}'
    )
    for page, names_of_blocks in pages.items():
        # Nowhere else: a sentence with JSON in it can't be read.
        assert page.text.count(statement) == len(names_of_blocks)
        for name in names_of_blocks:
            assert re.search(f'<pre [^>]*id="{name}"', page.html)
            assert f'data-copy="{name}"' in page.html
