"""What the stand-in knows: one AWS account, its keys, and what SES has in each region."""

import bisect
import hashlib
import threading
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from email_settings.standin import posting
from email_settings.standin.faults import Trouble
from email_settings.standin.messaging import Queue, Subscription, Topic, envelope
from email_settings.standin.policies import Policy, Question, is_allowed
from email_settings.standin.zone import BROKEN, Answer, Zone

ACCOUNT_ID = "123456789012"
EVERYTHING = frozenset({"*"})
SANDBOX_QUOTA, SANDBOX_RATE = 200.0, 1.0  # recipients a day, recipients a second
# Mail to these goes through even in the sandbox
# (https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html).
SIMULATOR = "simulator.amazonses.com"
DKIM_ZONE = "dkim.amazonses.com"
# Regions with a zone of their own
# (https://docs.aws.amazon.com/general/latest/gr/ses.html#ses_dkim_domains).
OWN_DKIM_ZONES = frozenset(
    {
        "af-south-1",
        "ap-northeast-3",
        "ap-southeast-3",
        "eu-south-1",
        "il-central-1",
        "us-gov-east-1",
    }
)
REMEMBERED_CALLS = 10_000


@dataclass
class Key:
    """One access key and what it may do: names of actions, or "*", or a whole policy.

    A key with a session token is a temporary one, of a role.
    """

    access_key_id: str
    secret: str
    user: str = "ticketflow-ses"
    actions: Collection[str] = EVERYTHING
    policy: Policy | None = None
    is_active: bool = True
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    works_from: datetime | None = None  # IAM tells its servers of a new key slowly
    last_used: tuple[datetime, str, str] | None = None  # when, service, region
    session_token: str = ""
    expires_at: datetime | None = None
    assumed: str = ""  # the ARN of an assumed role

    @property
    def arn(self) -> str:
        return self.assumed or f"arn:aws:iam::{ACCOUNT_ID}:user/{self.user}"


@dataclass
class User:
    """A user of IAM and the policies that are written into it."""

    name: str
    policies: dict[str, Policy] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{ACCOUNT_ID}:user/{self.name}"


@dataclass
class Role:
    """A role of IAM that keys of this account may assume."""

    name: str
    external_id: str = ""  # "" asks for none
    actions: Collection[str] = EVERYTHING
    policy: Policy | None = None
    longest_session: timedelta = timedelta(hours=1)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{ACCOUNT_ID}:role/{self.name}"


@dataclass(frozen=True)
class Call:
    """One call that reached AWS, and the code of the refusal, "" when it was done."""

    at: datetime
    region: str
    action: str  # like "ses:GetAccount"
    access_key_id: str
    refused: str = ""


@dataclass(frozen=True)
class Mail:
    """One mail that SES took."""

    message_id: str
    region: str
    recipients: tuple[str, ...]
    raw: bytes
    tags: Mapping[str, str]
    taken_at: datetime
    configuration_set: str = ""


@dataclass
class MailFrom:
    """The domain of its own that an identity has for bounces."""

    domain: str
    on_failure: str = "USE_DEFAULT_VALUE"


@dataclass
class Identity:
    """A sender's address or domain in one region."""

    name: str
    is_verified: bool = True
    status: str = ""  # said instead of what follows from DNS: FAILED, NOT_STARTED, …
    configuration_set: str = ""  # used when a mail names none
    mail_from: MailFrom | None = None
    feedback_forwarding: bool = True

    @property
    def is_domain(self) -> bool:
        return "@" not in self.name

    @property
    def tokens(self) -> list[str]:
        """Three, the same whenever they are asked for."""
        if not self.is_domain:
            return []
        return [
            hashlib.sha256(f"{self.name}{number}".encode()).hexdigest()[:32]
            for number in range(3)
        ]


@dataclass
class Destination:
    """Where the events of a configuration set go."""

    name: str
    is_enabled: bool
    types: list[str]  # SEND, BOUNCE, …
    topic_arn: str = ""


@dataclass
class ConfigurationSet:
    """A configuration set of SES."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    destinations: dict[str, Destination] = field(default_factory=dict)

    @property
    def may_send(self) -> bool:
        return bool(self.options.get("SendingOptions", {}).get("SendingEnabled", True))

    @property
    def arn_part(self) -> str:
        return f"configuration-set/{self.name}"


@dataclass
class Review:
    """What AWS was told to let the account out of the sandbox, and what it said."""

    details: dict[str, Any] = field(default_factory=dict)
    status: str = ""  # PENDING, GRANTED, DENIED, FAILED; "" when nothing was asked
    case_id: str = ""


@dataclass
class Feed:
    """How the events of SES arrive."""

    delay: timedelta = timedelta(0)  # until the first event
    transport: timedelta = timedelta(0)  # from that to what the recipient's server says
    is_stopped: bool = False  # nothing arrives until this ends
    is_doubled: bool = False
    is_reversed: bool = False


@dataclass
class Region:
    """What SES, SNS and SQS keep for each region apart."""

    name: str
    is_enabled: bool = True  # newer regions are switched on in the account first
    is_production: bool = True
    is_sending_enabled: bool = True
    enforcement: str = "HEALTHY"  # PROBATION, SHUTDOWN
    max_24_hour_send: float = 50_000.0
    max_send_rate: float = 14.0
    identities: dict[str, Identity] = field(default_factory=dict)
    # When each recipient was taken, oldest first
    taken: list[datetime] = field(default_factory=list)
    review: Review = field(default_factory=Review)
    sets: dict[str, ConfigurationSet] = field(default_factory=dict)
    # By the address as it was typed: the reason and when
    suppressed: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    suppressed_reasons: list[str] = field(
        default_factory=lambda: ["BOUNCE", "COMPLAINT"]
    )
    topics: dict[str, Topic] = field(default_factory=dict)  # by ARN
    queues: dict[str, Queue] = field(default_factory=dict)  # by name
    last_turn: datetime | None = None  # the last call that was no send

    @property
    def quota(self) -> float:
        return self.max_24_hour_send if self.is_production else SANDBOX_QUOTA

    @property
    def rate(self) -> float:
        return self.max_send_rate if self.is_production else SANDBOX_RATE

    @property
    def dkim_zone(self) -> str:
        own = self.name in OWN_DKIM_ZONES
        return f"dkim.{self.name}.amazonses.com" if own else DKIM_ZONE

    def sent_since(self, moment: datetime) -> int:
        return len(self.taken) - bisect.bisect_right(self.taken, moment)

    def is_verified(self, address: str) -> bool:
        """Whether the address, its domain or a parent domain is verified here."""
        return self.verified_identity(address) is not None

    def verified_identity(self, address: str) -> Identity | None:
        """Return the most exact identity that lets the address be used."""
        local, _, domain = address.rpartition("@")
        # AWS compares the local part of a verified address as it was typed.
        names = [f"{local}@{domain.lower()}"]
        labels = domain.lower().split(".")
        names += [".".join(labels[start:]) for start in range(len(labels) - 1)]
        found = (self.identities.get(name) for name in names)
        return next((known for known in found if known and known.is_verified), None)

    def is_suppressed(self, address: str) -> bool:
        """Whether mail to it is not delivered; here, case does not matter."""
        return address.lower() in {known.lower() for known in self.suppressed}


class Account:
    """One AWS account. Every change and every question holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.url = ""  # where it answers, once it does
        self.news = threading.Condition(self.lock)  # something came into a queue
        self.clock_offset = timedelta(0)  # AWS's clock against that of this machine
        self.keys: dict[str, Key] = {}
        self.users: dict[str, User] = {}
        self.roles: dict[str, Role] = {}  # by ARN
        self.takes_any_key = False  # for the demo: whatever is pasted is right
        self.new_keys_take = timedelta(0)  # until a key made through IAM works
        self.regions: dict[str, Region] = {}
        self.domain = ""  # the one that the console speaks about
        self.verified_everywhere: set[str] = set()
        # What a region is given when it is first asked for
        self.prepare: Callable[[Account, Region], None] | None = None
        self.mails: list[Mail] = []
        self.trouble: Trouble | None = None  # what the next sends meet
        self.one_call_a_second = False  # SES's rule for all but sends
        self.calls: deque[Call] = deque(maxlen=REMEMBERED_CALLS)
        self.zone = Zone()
        self.looks_at_dns = True  # else AWS has not looked yet
        self.feed = Feed()
        # Addresses, or domains as "@elsewhere.example", in small letters
        self.bouncing: set[str] = set()
        self.complaining: set[str] = set()
        self.full: set[str] = set()  # mailboxes that take nothing for now
        # Events on their way: due, topic, text
        self.on_the_way: list[tuple[datetime, Topic, str]] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_offset

    def add_key(self, access_key_id: str, secret: str, **changes: object) -> Key:
        key = Key(access_key_id, secret, **changes)  # type: ignore[arg-type]
        self.keys[access_key_id] = key
        self.users.setdefault(key.user, User(key.user))
        return key

    def add_role(self, name: str, **changes: object) -> Role:
        role = Role(name, **changes)  # type: ignore[arg-type]
        self.roles[role.arn] = role
        return role

    def keys_of(self, user: str) -> list[Key]:
        return [k for k in self.keys.values() if k.user == user and not k.assumed]

    def may(self, key: Key, question: Question) -> bool:
        """Whether the key's own actions, its policy or those of its user allow it."""
        policies = [key.policy] if key.policy else []
        if key.user in self.users and not key.assumed:
            policies += self.users[key.user].policies.values()
        if key.actions:
            listed = {"Effect": "Allow", "Action": list(key.actions), "Resource": "*"}
            policies.append({"Statement": [listed]})
        return is_allowed(policies, question)

    def calls_of(self, action: str) -> list[Call]:
        """Return the calls for an action, like "ses:GetAccount"."""
        return [call for call in self.calls if call.action == action]

    def region(self, name: str) -> Region:
        """Return what AWS has there, made when it is first asked for."""
        if name not in self.regions:
            region = Region(
                name,
                identities={n: Identity(n) for n in self.verified_everywhere},
            )
            self.regions[name] = region
            if self.prepare:
                self.prepare(self, region)
        return self.regions[name]

    def take(
        self,
        region: Region,
        recipients: tuple[str, ...],
        raw: bytes,
        tags: Mapping[str, str],
        configuration_set: str = "",
    ) -> Mail:
        """Keep a mail as sent."""
        mail = Mail(
            message_id=f"0102{uuid.uuid4().hex[:12]}-{uuid.uuid4()}-000000",
            region=region.name,
            recipients=recipients,
            raw=raw,
            tags=tags,
            taken_at=self.now(),
            configuration_set=configuration_set,
        )
        region.taken.extend([mail.taken_at] * len(recipients))
        self.mails.append(mail)
        return mail

    # What AWS finds in DNS

    def look_at_dns(self, region: Region) -> None:
        """Let domains be verified whose records are published."""
        if not self.looks_at_dns:
            return
        for identity in region.identities.values():
            if identity.is_domain and not identity.is_verified:
                identity.is_verified = self.dkim_problem(region, identity) == ""

    def dkim_problem(self, region: Region, identity: Identity) -> str:
        """Return AWS's word for what is wrong with the records, "" when nothing is."""
        for token in identity.tokens:
            name = f"{token}._domainkey.{identity.name}"
            answer, records = self.zone.find(name, "CNAME")
            if answer in BROKEN:
                return "DNS_SERVER_ERROR"
            if answer is Answer.NO_SUCH_NAME:
                return "HOST_NOT_FOUND"
            if answer is Answer.NO_SUCH_TYPE:
                return "TYPE_NOT_FOUND"
            if records[0][2].rstrip(".").lower() != f"{token}.{region.dkim_zone}":
                return "INVALID_VALUE"
        return ""

    def mail_from_status(self, region: Region, identity: Identity) -> str:
        """Return SUCCESS, PENDING, FAILED or TEMPORARY_FAILURE."""
        assert identity.mail_from
        domain = identity.mail_from.domain
        mx_answer, mx = self.zone.find(domain, "MX")
        txt_answer, txt = self.zone.find(domain, "TXT")
        if {mx_answer, txt_answer} & BROKEN:
            return "TEMPORARY_FAILURE"
        if len(mx) > 1:
            return "FAILED"
        wanted = f"10 feedback-smtp.{region.name}.amazonses.com"
        has_mx = [value.rstrip(".").lower() for *_, value in mx] == [wanted]
        has_spf = any("include:amazonses.com" in value for *_, value in txt)
        return "SUCCESS" if has_mx and has_spf and self.looks_at_dns else "PENDING"

    def records_for(
        self, region: Region, identity: Identity
    ) -> Iterator[tuple[str, str, str]]:
        """Yield name, kind and value of all that an identity wants in DNS."""
        for token in identity.tokens:
            name = f"{token}._domainkey.{identity.name}"
            yield name, "CNAME", f"{token}.{region.dkim_zone}"
        if identity.mail_from:
            domain = identity.mail_from.domain
            yield domain, "MX", f"10 feedback-smtp.{region.name}.amazonses.com"
            yield domain, "TXT", "v=spf1 include:amazonses.com ~all"

    # What SNS brings

    def publish(self, topic: Topic, text: str, *, at: datetime | None = None) -> None:
        """Bring a text to all who subscribed to the topic, now or at that time."""
        with self.lock:
            due = at or self.now()
            self.on_the_way.append((due, topic, text))
            self.bring()
            # Whoever reads a queue has it brought; who is posted to asks for nothing.
            wait = (due - self.now()).total_seconds()
            if wait > 0 and any(one.is_posted for one in topic.subscriptions):
                timer = threading.Timer(wait + 0.01, self.bring)
                timer.daemon = True
                timer.start()

    def bring(self) -> None:
        """Put what is due into the queues."""
        with self.lock:
            now = self.now()
            if self.feed.is_stopped:
                return
            due = [one for one in self.on_the_way if one[0] <= now]
            self.on_the_way = [one for one in self.on_the_way if one[0] > now]
            for _, topic, text in sorted(due, key=itemgetter(0)):
                self._deliver(topic, text, now)
            if due:
                self.news.notify_all()

    def _deliver(self, topic: Topic, text: str, now: datetime) -> None:
        region = self.region(topic.arn.split(":")[3])
        copies = 2 if self.feed.is_doubled else 1
        for subscription in topic.subscriptions:
            if subscription.is_posted:
                self._post(topic, subscription, text, now, copies)
                continue
            queue = region.queues.get(subscription.endpoint.rpartition(":")[2])
            if subscription.protocol != "sqs" or queue is None:
                continue
            source = {"aws:sourcearn": topic.arn, "aws:sourceaccount": ACCOUNT_ID}
            if not queue.lets("sns.amazonaws.com", source):
                continue  # SNS tries in vain, and nobody is told
            body = text
            if not subscription.is_raw:
                body = envelope(topic, subscription, text, now)
            for _ in range(copies):
                queue.put(body, now)

    def _post(
        self, topic: Topic, one: Subscription, text: str, now: datetime, copies: int
    ) -> None:
        if not one.is_confirmed:
            return
        fields = posting.notification(
            topic.arn, text, version=topic.signature_version, url=self.url, at=now
        )
        for _ in range(copies):
            posting.post(posting.Post(one.endpoint, one.arn, fields))

    def ask_to_confirm(self, topic: Topic, one: Subscription) -> None:
        """Post the question whether the subscriber wants to be one."""
        self._ask(topic, one, "SubscriptionConfirmation", "PendingConfirmation")

    def say_that_it_ended(self, topic: Topic, one: Subscription) -> None:
        """Post that the subscription is over."""
        self._ask(topic, one, "UnsubscribeConfirmation", one.arn)

    def _ask(self, topic: Topic, one: Subscription, kind: str, arn: str) -> None:
        fields = posting.question(
            topic.arn,
            one.token or uuid.uuid4().hex,
            kind=kind,
            version=topic.signature_version,
            url=self.url,
            at=self.now(),
        )
        posting.post(posting.Post(one.endpoint, arn, fields))
