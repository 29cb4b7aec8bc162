"""Settings for Amazon SES and every mail on its way out."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone


class Brand(models.Model):
    """How the company shows itself in pages and mails. One row."""

    company_name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.company_name


class SesSettings(models.Model):
    """The account that mail leaves through. One row, changed by services only.

    `version` grows with every change, so that workers know when to make a new client.
    """

    class Mode(models.TextChoices):
        REHEARSAL = "rehearsal"  # mail is captured, nothing leaves
        LIVE = "live"  # mail goes to Amazon SES

    class Source(models.TextChoices):
        KEYS = "keys"  # the access key that is stored here
        SERVER = "server"  # what this server itself has: a role, its environment
        ROLE = "role"  # a role that the key, or what the server has, may assume

    # Where the AWS credentials come from
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.KEYS)
    access_key_id = models.CharField("AWS Access Key ID", max_length=128, blank=True)
    # AES-256-GCM by credentials.py; "" when none is stored
    secret_access_key_encrypted = models.TextField(blank=True)
    role_arn = models.CharField("Role ARN", max_length=640, blank=True)
    # What the role's trust policy asks for; "" until settings are saved
    external_id = models.CharField(max_length=64, blank=True)
    # Since when this access key is stored here, and since when it exists in AWS, which
    # only some keys may ask; null when that is not known
    key_since = models.DateTimeField(null=True, blank=True)
    key_created_at = models.DateTimeField(null=True, blank=True)
    key_asked_at = models.DateTimeField(null=True, blank=True)
    key_told = models.CharField(max_length=128, blank=True)  # key id of the reminder
    region = models.CharField("AWS Region", max_length=32, blank=True)
    from_email = models.EmailField("From Email", max_length=254, blank=True)
    from_name = models.CharField("From Name", max_length=80, blank=True)
    reply_to = models.EmailField("Reply-To", max_length=254, blank=True)
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.REHEARSAL)
    version = models.PositiveIntegerField(default=1)
    saved_at = models.DateTimeField(null=True, blank=True)
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    # Recipients per second, for when AWS does not tell its own limit
    manual_send_rate = models.FloatField("Send rate", null=True, blank=True)
    # Days after which mail that is over is removed; null keeps it for ever
    retention_days = models.PositiveIntegerField("Keep mail for", null=True, blank=True)

    # What AWS said when it was last asked; null when it would not say.
    checked_at = models.DateTimeField(null=True, blank=True)
    account_id = models.CharField(max_length=12, blank=True)
    principal_arn = models.CharField(max_length=512, blank=True)
    is_sandbox = models.BooleanField(null=True)
    is_sending_enabled = models.BooleanField(null=True)
    is_from_verified = models.BooleanField(null=True)
    max_send_rate = models.FloatField(null=True)  # recipients per second
    max_24_hour_send = models.FloatField(null=True)  # recipients; -1 is unlimited
    sent_last_24_hours = models.FloatField(null=True)  # recipients
    # What stood in the way, as texts: [{"code", "title", "why", "fix"}]
    check_problems = models.JSONField(default=list, blank=True)

    # Goes with every mail as the tag tf-inst, so that the events of two installations
    # on one AWS account can be told apart.
    installation = models.UUIDField(default=uuid.uuid4, editable=False)

    # How Amazon SES tells what becomes of mail; "" while that is not connected
    configuration_set = models.CharField(max_length=64, blank=True)
    event_queue_url = models.CharField(max_length=255, blank=True)
    event_topic_arn = models.CharField(max_length=400, blank=True)
    # A mail to the mailbox simulator now and then shows that all of it works
    is_canary_on = models.BooleanField(default=True)

    # Since when notices wait because too much mail bounces, null while they leave
    guarded_since = models.DateTimeField(null=True, blank=True)
    # So long an admin lets them go all the same
    unguarded_until = models.DateTimeField(null=True, blank=True)
    unguarded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # When admins were warned of the account's reputation, null once it is good again
    reputation_told_at = models.DateTimeField(null=True, blank=True)

    # Why all mail is held just now, "" when it is not: a code of gateway/errors.py
    hold_code = models.CharField(max_length=64, blank=True)
    hold_detail = models.TextField(blank=True)  # AWS's own words
    held_since = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True)

    # An admin holds all mail by hand; null when nobody does
    stopped_at = models.DateTimeField(null=True, blank=True)
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    # After AWS said "too fast": the rate from then on, which grows back by itself
    slowed_to = models.FloatField(null=True, blank=True)  # recipients per second
    slowed_at = models.DateTimeField(null=True, blank=True)

    # When admins were last told that the daily quota is nearly used up
    quota_told_at = models.DateTimeField(null=True, blank=True)

    # What the last removal of old mail did
    pruned_at = models.DateTimeField(null=True, blank=True)
    pruned_count = models.PositiveIntegerField(default=0)

    ONLY_ID = 1

    def __str__(self) -> str:
        return f"Amazon SES in {self.region or 'no region'}"

    @classmethod
    def load(cls) -> Self:
        """Return the one row, making it the first time."""
        return cls.objects.get_or_create(pk=cls.ONLY_ID)[0]

    @classmethod
    def load_to_change(cls) -> Self:
        """Return the one row, locked until the transaction ends."""
        cls.load()
        return cls.objects.select_for_update().get(pk=cls.ONLY_ID)

    @property
    def is_configured(self) -> bool:
        """Whether all that sending needs has been saved."""
        return self.has_credentials and bool(self.region and self.from_email)

    @property
    def has_credentials(self) -> bool:
        """Whether it is said where the AWS credentials come from."""
        match self.source:
            case self.Source.SERVER:
                return True
            case self.Source.ROLE:
                return bool(self.role_arn)
        return self.has_key

    @property
    def has_key(self) -> bool:
        """Whether both parts of an access key are stored."""
        return bool(self.access_key_id and self.secret_access_key_encrypted)

    @property
    def key_hint(self) -> str:
        """The last four characters of the key that signs, "" where none is stored."""
        return self.access_key_id[-4:] if self.has_key else ""

    @property
    def is_live(self) -> bool:
        return self.mode == self.Mode.LIVE


class Lane(models.IntegerChoices):
    """Who goes first when many wait."""

    SECURITY = 0  # invitations, password resets
    REPLY = 1  # what somebody waits for: replies, receipts
    NOTICE = 2  # what somebody may want to know
    DIGEST = 3  # summaries


class SharedBody(models.Model):
    """What a mail to many says, stored once. Written by outbox, never changed.

    Never of a secret mail. Goes with the last message that has it.
    """

    text = models.TextField()
    html = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"body {self.pk} of many messages"


class Fate(models.IntegerChoices):
    """What became of a mail after Amazon SES took it. The highest that was told stands.

    So the order in which events come, and how often, makes no difference.
    """

    SENT = 1, "On its way"  # SES has it
    DELAYED = 2, "Delayed"  # SES goes on trying
    SOFT_BOUNCED = 3, "Not delivered"  # SES gave up; another mail may get through
    DELIVERED = 4, "Delivered"  # the recipient's server took it
    REJECTED = 5, "Rejected"  # SES did not send it after all
    BOUNCED = 6, "Bounced"  # refused for good
    COMPLAINED = 7, "Complained"  # the recipient called it spam


class OutboxMessage(models.Model):
    """One rendered mail to one recipient. Only outbox, delivery and events change it."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"  # leaves when due_at comes
        SENDING = "sending", "Sending"  # leased by one worker until lease_until
        SENT = "sent", "Sent"  # Amazon SES took it
        HELD = "held", "Held"  # waits for reason_code to be mended
        UNKNOWN = "unknown", "Unknown"  # it went out and no answer came
        FAILED = "failed", "Failed"  # gave up, with the reason
        SUPPRESSED = "suppressed", "Suppressed"  # the address takes no mail
        CANCELLED = "cancelled", "Cancelled"  # called back before it left

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=40)  # "public_reply", "invitation", …
    lane = models.PositiveSmallIntegerField(choices=Lane.choices, default=Lane.NOTICE)
    recipient = models.EmailField(max_length=254)
    # What Email Activity looks addresses up by
    recipient_lower = models.GeneratedField(
        expression=Lower("recipient"),
        output_field=models.CharField(max_length=254),
        db_persist=True,
    )
    recipient_name = models.CharField(max_length=120, blank=True)
    subject = models.CharField(max_length=255)
    # Its own body; "" where it has a shared one. To read either: `text` and `html`.
    text_body = models.TextField(blank=True)
    html_body = models.TextField(blank=True)
    shared_body = models.ForeignKey(
        SharedBody,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="messages",
        db_index=False,
    )
    headers = models.JSONField(default=dict)  # extra ones: {"Auto-Submitted": …}
    # It carries a link that is as good as a password: its body is stored encrypted,
    # shown to nobody, and wiped once the state is final.
    is_secret = models.BooleanField(default=False)
    # What it is about, for people who read the log: "#42" and "/tickets/42/"
    about_label = models.CharField(max_length=40, blank=True)
    about_path = models.CharField(max_length=200, blank=True)

    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    reason_code = models.CharField(max_length=64, blank=True)  # of gateway/errors.py
    reason = models.TextField(blank=True)  # for people
    reason_detail = models.TextField(blank=True)  # AWS's own words
    due_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    # Tries that count towards giving up; a throttled one, say, does not.
    attempts = models.PositiveSmallIntegerField(default=0)
    claims = models.PositiveIntegerField(default=0)  # every time a worker took it
    claim_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    ses_message_id = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    # What the events say, by events.fate; null while there is none
    fate = models.PositiveSmallIntegerField(choices=Fate.choices, null=True, blank=True)
    fate_at = models.DateTimeField(null=True, blank=True)
    fate_detail = models.TextField(blank=True)  # in words, the remote's own included
    # When upper rooms took note that its recipient did not get it
    undelivered_told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="outbox_sending_has_lease",
                condition=~Q(state="sending")
                | Q(lease_until__isnull=False) & ~Q(claim_token=""),
            ),
            # delivery.settle: whose token a row has, that one is sending it
            models.CheckConstraint(
                name="outbox_token_is_of_sending",
                condition=Q(state="sending") | Q(claim_token=""),
            ),
            models.CheckConstraint(
                name="outbox_sent_has_sent_at",
                condition=~Q(state="sent") | Q(sent_at__isnull=False),
            ),
        ]
        indexes = [
            # delivery.claim: what is due, most urgent first. The state stands in it
            # though all have the same one: without statistics SQLite takes the index
            # that has an equal column, and sorts all that waits.
            models.Index(
                fields=["state", "lane", "due_at", "id"],
                name="outbox_due",
                condition=Q(state="queued"),
            ),
            # delivery.hold: what waits for something to be mended, by what it is
            models.Index(
                fields=["reason_code", "lane", "due_at", "id"],
                name="outbox_held",
                condition=Q(state="held"),
            ),
            # delivery.recovery: what waited too long
            models.Index(
                fields=["state", "expires_at"],
                name="outbox_expiring",
                condition=Q(state__in=["queued", "held"]),
            ),
            # quota and chart: what was sent since. SQLite sees that "sent_at > ?" means
            # that it is not null, where it can't see what state a parameter names.
            models.Index(
                fields=["sent_at"],
                name="outbox_sent_at",
                condition=Q(sent_at__isnull=False),
            ),
            # Email Activity: newest first, all or in one state. delivery.recovery: the
            # few that are being sent
            models.Index(fields=["-created_at", "-id"], name="outbox_newest"),
            models.Index(
                fields=["state", "-created_at", "-id"], name="outbox_state_newest"
            ),
            # Email Activity by kind, and the last test e-mail on Email Settings
            models.Index(
                fields=["kind", "-created_at", "-id"], name="outbox_kind_newest"
            ),
            models.Index(fields=["ses_message_id"], name="outbox_ses_message_id"),
            # Email Activity by address or its beginning, whatever the collation
            models.Index(
                fields=["recipient_lower", "-created_at", "-id"],
                name="outbox_recipient_newest",
                opclasses=["varchar_pattern_ops", "timestamptz_ops", "int8_ops"],
            ),
            # Email Activity by what became of it
            models.Index(
                fields=["fate", "-created_at", "-id"],
                name="outbox_fate_newest",
                condition=Q(fate__isnull=False),
            ),
            # Email Activity by ticket
            models.Index(
                fields=["about_label", "-created_at", "-id"], name="outbox_about_newest"
            ),
            # undelivered: what its recipient did not get, and nobody was told of
            models.Index(
                fields=["id"],
                name="outbox_undelivered",
                condition=Q(undelivered_told_at__isnull=True)
                & (Q(state__in=["failed", "suppressed"]) | Q(fate__in=[3, 5, 6, 7])),
            ),
            # retention: whether anybody still has a shared body
            models.Index(
                fields=["shared_body"],
                name="outbox_shared_body",
                condition=Q(shared_body__isnull=False),
            ),
        ]

    # The kind of mail that an admin sends to see whether mail works
    TEST = "test"
    # To the mailbox simulator, to see whether events come back
    SIMULATOR = "simulator"
    # The same, by the schedule
    CANARY = "canary"
    # Of no account: neither in the quota nor in the reputation of the account
    PROBES = (SIMULATOR, CANARY)
    # What an admin sends to see Amazon SES take it, in rehearsal too
    TRIALS = (TEST, SIMULATOR)

    # Where nothing happens any more
    FINAL_STATES = (State.SENT, State.FAILED, State.SUPPRESSED, State.CANCELLED)

    def __str__(self) -> str:
        return f"{self.kind} to {self.recipient}"

    @property
    def fate_name(self) -> str:
        """What became of it after it was sent: "delivered"; "" while nothing is known."""
        if self.fate is None or self.fate == Fate.SENT:
            return ""
        return Fate(self.fate).name.lower()

    @property
    def text(self) -> str:
        """What it says as plain text; sealed if it is secret."""
        return self.shared_body.text if self.shared_body else self.text_body

    @property
    def html(self) -> str:
        """What it says as HTML, "" where it has none; sealed if it is secret."""
        return self.shared_body.html if self.shared_body else self.html_body


class DeliveryAttempt(models.Model):
    """One try to hand a message to Amazon SES, committed before the call."""

    class Outcome(models.TextChoices):
        STARTED = "started", "Started"  # no answer written yet
        ACCEPTED = "accepted", "Accepted"  # SES gave a message id
        CAPTURED = "captured", "Captured"  # rehearsal: kept here
        NOT_SENT = "not_sent", "Not sent"  # it never left, it is tried again
        REFUSED = "refused", "Refused"  # SES said no
        UNKNOWN = "unknown", "Unknown"  # it went out and no answer came

    message = models.ForeignKey(
        OutboxMessage, on_delete=models.CASCADE, related_name="attempt_set"
    )
    number = models.PositiveIntegerField()  # the message's claims at that time
    uid = models.UUIDField(default=uuid.uuid4, editable=False)
    outcome = models.CharField(
        max_length=12, choices=Outcome.choices, default=Outcome.STARTED
    )
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=80, blank=True)
    access_key_hint = models.CharField(max_length=8, blank=True)  # its last 4
    region = models.CharField(max_length=32, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_detail = models.TextField(blank=True)
    ses_message_id = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["number", "id"]
        # delivery.doubt: evidence names the attempt
        indexes = [models.Index(fields=["uid"], name="attempt_uid")]
        constraints = [
            models.UniqueConstraint(
                fields=["message", "number"], name="attempt_number_once"
            )
        ]

    def __str__(self) -> str:
        return f"try {self.number}: {self.outcome}"


class DeliveryEvent(models.Model):
    """Something that Amazon SES told about a mail. Written by events.store, append-only.

    A row per recipient of the event. What is told twice is one row.
    """

    class Kind(models.TextChoices):
        SEND = "send", "Send"
        DELIVERY = "delivery", "Delivery"
        BOUNCE = "bounce", "Bounce"
        AUTO_REPLY = (
            "auto_reply",
            "Auto-reply",
        )  # "out of office", which SES calls a bounce
        COMPLAINT = "complaint", "Complaint"
        REJECT = "reject", "Reject"
        DELAY = "delay", "Delay"
        RENDERING_FAILURE = "rendering_failure", "Rendering failure"
        OPEN = "open", "Open"
        CLICK = "click", "Click"
        SUBSCRIPTION = "subscription", "Subscription"
        OTHER = "other", "Unknown type"  # its type is the sub kind
        UNREADABLE = "unreadable", "Unreadable"  # set aside as it came

    # Null for a mail that is not ours, or not known yet
    message = models.ForeignKey(
        OutboxMessage, null=True, on_delete=models.CASCADE, related_name="event_set"
    )
    attempt_uid = models.UUIDField(null=True)  # the tag tf-att
    kind = models.CharField(max_length=20, choices=Kind.choices)
    sub_kind = models.CharField(max_length=80, blank=True)  # "Permanent/NoEmail"
    recipient = models.CharField(max_length=320, blank=True)
    ses_message_id = models.CharField(max_length=100, blank=True)
    # With the three above: the feedback id or the time, so that it is told apart
    mark = models.CharField(max_length=100)
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    diagnostic = models.TextField(blank=True)  # the remote's own words
    raw = models.TextField(blank=True)  # JSON, without the headers of the mail

    class Meta:
        ordering = ["happened_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["ses_message_id", "kind", "recipient", "mark"],
                name="event_once",
            )
        ]
        indexes = [
            # events.store: mails that were not known when their event came
            models.Index(
                fields=["received_at"],
                name="event_unmatched",
                condition=Q(message__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.ses_message_id or 'no mail'}"


class EventFeed(models.Model):
    """How reading the events goes. One row, changed by events.feed only.

    `queue_url` is what the rest is about: another queue begins anew.
    """

    queue_url = models.CharField(max_length=255, blank=True)
    began_at = models.DateTimeField(null=True, blank=True)
    # The one worker that reads, by the database's clock
    holder = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    validated_at = models.DateTimeField(null=True, blank=True)  # SES reached the topic
    asked_at = models.DateTimeField(null=True, blank=True)  # the queue answered
    last_event_at = models.DateTimeField(null=True, blank=True)  # when one came
    queue_depth = models.PositiveIntegerField(null=True, blank=True)
    depth_at = models.DateTimeField(null=True, blank=True)
    event_count = models.PositiveBigIntegerField(default=0)
    foreign_count = models.PositiveBigIntegerField(default=0)  # another installation's
    unreadable_count = models.PositiveBigIntegerField(default=0)
    # What stands in the way: {"code", "title", "why", "fix", "words", "statement"}
    problem = models.JSONField(null=True, blank=True)
    problem_since = models.DateTimeField(null=True, blank=True)

    # The webhook: what SNS posts by itself
    webhook_topic_arn = models.CharField(max_length=400, blank=True)
    webhook_wanted_at = models.DateTimeField(null=True, blank=True)  # may be confirmed
    webhook_confirmed_at = models.DateTimeField(null=True, blank=True)
    webhook_subscription_arn = models.CharField(max_length=500, blank=True)
    webhook_ended_at = models.DateTimeField(null=True, blank=True)  # unsubscribed
    webhook_posted_at = models.DateTimeField(null=True, blank=True)  # the last good one
    webhook_refused_count = models.PositiveBigIntegerField(default=0)
    webhook_refused_at = models.DateTimeField(null=True, blank=True)
    webhook_refusal = models.CharField(max_length=300, blank=True)  # of the last one
    # Why it could not be confirmed, as `problem`, and when that is tried again
    webhook_problem = models.JSONField(null=True, blank=True)
    webhook_next_at = models.DateTimeField(null=True, blank=True)

    ONLY_ID = 1

    def __str__(self) -> str:
        return f"events of {self.queue_url or 'no queue'}"


class EventLetter(models.Model):
    """One message that SNS posted. Written by the webhook, read by the worker.

    Its body goes when it is read; the row stays for a while, so that what is posted
    again is known.
    """

    sns_message_id = models.CharField(max_length=100, unique=True)
    body = models.TextField(blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["id"],
                name="letter_unread",
                condition=Q(read_at__isnull=True),
            ),
            models.Index(fields=["received_at"], name="letter_received"),
        ]

    def __str__(self) -> str:
        return f"letter {self.sns_message_id}"


class Suppression(models.Model):
    """Why an address gets no mail, or none for a while. Only suppression/ changes it.

    Open until somebody releases the address, a delivery clears it or `held_until` has
    passed. Closed ones are the history of the address.
    """

    class Reason(models.TextChoices):
        BOUNCED = "bounced", "Bounced for good"
        COMPLAINED = "complained", "Complained"
        AWS_EVERYWHERE = "aws_everywhere", "Refused by Amazon SES"  # its global list
        AWS_LISTED = "aws_listed", "On AWS’s list"  # the account's own
        FAILING = "failing", "Keeps failing"  # for a while only
        BY_HAND = "by_hand", "Added by hand"
        IMPORTED = "imported", "Imported"

    address = models.CharField(max_length=320)  # as it was told or typed
    address_lower = models.CharField(max_length=320)  # by Python's lower()
    reason = models.CharField(max_length=16, choices=Reason.choices)
    detail = models.TextField(blank=True)  # in words, the remote's own included
    # What showed it; null for what a person did, and once that mail was removed
    message = models.ForeignKey(
        OutboxMessage,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    event = models.OneToOneField(
        DeliveryEvent,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="suppression",
    )
    happened_at = models.DateTimeField(default=timezone.now)  # by the event
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    held_until = models.DateTimeField(null=True, blank=True)  # null: for good

    # Invitations and password resets go all the same
    security_allowed_at = models.DateTimeField(null=True, blank=True)
    security_allowed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    closed_why = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["address_lower"],
                condition=Q(closed_at__isnull=True),
                name="suppression_open_once",
            )
        ]
        indexes = [
            models.Index(fields=["address_lower", "-id"], name="suppression_address"),
            models.Index(fields=["-created_at", "-id"], name="suppression_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


class AwsSuppression(models.Model):
    """One entry of the AWS account's own suppression list, as AWS last told it."""

    address = models.CharField(max_length=320, unique=True)  # in AWS's own spelling
    address_lower = models.CharField(max_length=320, db_index=True)
    reason = models.CharField(max_length=16)  # "BOUNCE" or "COMPLAINT"
    listed_at = models.DateTimeField(null=True, blank=True)
    seen_in = models.UUIDField()  # the look that last found it

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


class AwsRelease(models.Model):
    """A wish to take an address off AWS's list, and what the worker made of it.

    Open until `done_at`. Only suppression/ changes it.
    """

    class Outcome(models.TextChoices):
        DONE = "done", "Taken off AWS’s list"
        NOT_LISTED = "not_listed", "Not on AWS’s list"
        FAILED = "failed", "Still on AWS’s list"

    address = models.CharField(max_length=320)
    address_lower = models.CharField(max_length=320)
    wanted_at = models.DateTimeField(default=timezone.now)
    wanted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    next_at = models.DateTimeField(default=timezone.now)
    outcome = models.CharField(max_length=12, choices=Outcome.choices, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    # What stands in the way, as in SuppressionSync
    problem = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["address_lower"],
                condition=Q(done_at__isnull=True),
                name="aws_release_open_once",
            )
        ]
        indexes = [
            models.Index(fields=["address_lower", "-id"], name="aws_release_address"),
            models.Index(
                fields=["next_at"],
                name="aws_release_open",
                condition=Q(done_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.address}: {self.outcome or 'wanted'}"


class SuppressionSync(models.Model):
    """How reading AWS's suppression list goes. One row, changed by suppression/ only."""

    place = models.CharField(max_length=60, blank=True)  # account and region it is of
    wanted_at = models.DateTimeField(null=True, blank=True)
    running_until = models.DateTimeField(null=True, blank=True)  # a worker's lease
    tried_at = models.DateTimeField(null=True, blank=True)
    synced_at = models.DateTimeField(null=True, blank=True)
    count = models.PositiveIntegerField(default=0)
    # What stands in the way: {"code", "title", "why", "fix", "words", "statement"}
    problem = models.JSONField(null=True, blank=True)

    ONLY_ID = 1

    def __str__(self) -> str:
        return f"suppression list of {self.place or 'no account'}"


class MailWatch(models.Model):
    """What the worker found about mail as a whole when it last looked. One row.

    Changed by reputation/, silence, canary and account_watch only. Counts are of mails.
    """

    settings = models.OneToOneField(
        SesSettings, primary_key=True, on_delete=models.CASCADE, related_name="watch"
    )
    # What AWS thinks of the account: "HEALTHY", "PROBATION", "SHUTDOWN", "" if unknown
    enforcement = models.CharField(max_length=40, blank=True)

    # How much of the mail sent since then came to grief, by reputation.count
    counted_at = models.DateTimeField(null=True, blank=True)
    counted_since = models.DateTimeField(null=True, blank=True)
    mails = models.PositiveIntegerField(default=0)
    bounced = models.PositiveIntegerField(default=0)
    complained = models.PositiveIntegerField(default=0)
    # The same of mail to other domains than that of From: AWS counts those bounces only
    mails_outside = models.PositiveIntegerField(default=0)
    bounced_outside = models.PositiveIntegerField(default=0)

    # Why no news of mail comes, by silence.py; "" while it does
    silence = models.CharField(max_length=16, blank=True)
    silent_since = models.DateTimeField(null=True, blank=True)
    silent_count = models.PositiveIntegerField(default=0)  # mails without any news

    # When the schedule last sent a mail to the simulator, by canary.py
    canary_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"mail since {self.counted_since or 'never'}"

    @classmethod
    def load(cls) -> Self:
        """Return the one row, making it and that of the settings the first time."""
        return cls.objects.get_or_create(settings=SesSettings.load())[0]


class WorkerHeartbeat(models.Model):
    """A sign of life of one worker process, written every ten seconds."""

    name = models.CharField(max_length=120, unique=True)
    started_at = models.DateTimeField(default=timezone.now)
    beat_at = models.DateTimeField(default=timezone.now)
    # When a task of its schedule last ran: the process may live and its beat not
    task_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class PaceClock(models.Model):
    """When the next mail may start, for workers on PostgreSQL that share no Redis."""

    account = models.CharField(max_length=200, unique=True)  # AWS account and region
    next_start_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.account


class ReadinessLine(models.Model):
    """One line of the set-up checklist as it was last found. Only readiness/ changes it.

    `running_until` is the lease of the worker that looks at it just now; at most one
    line has one.
    """

    key = models.CharField(max_length=20, unique=True)  # of readiness/lines.py
    # Of readiness/finding.py, field by field; "" before it was looked at
    state = models.CharField(max_length=10, blank=True)
    said = models.CharField(max_length=60, blank=True)
    evidence = models.TextField(blank=True)
    fix = models.TextField(blank=True)
    records = models.JSONField(default=list, blank=True)
    statement = models.TextField(blank=True)
    words = models.TextField(blank=True)
    actions = models.JSONField(default=list, blank=True)
    used = models.FloatField(null=True, blank=True)
    limit = models.FloatField(null=True, blank=True)

    checked_at = models.DateTimeField(null=True, blank=True)
    since = models.DateTimeField(null=True, blank=True)  # when it came to stand so
    settings_version = models.PositiveIntegerField(default=0)
    wanted_at = models.DateTimeField(null=True, blank=True)
    running_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.key}: {self.said or 'not checked'}"


class KeyRotation(models.Model):
    """One change of the access key, step by step. Only rotation/ changes it.

    The secret that is not in use is kept here, encrypted, until the end: the new one
    before the switch, the old one after it.
    """

    class Step(models.TextChoices):
        CREATE = "create"  # the worker has AWS make the new key
        PASTE = "paste"  # a person makes it and pastes both parts
        TRY = "try"  # whose it is, and what it may do
        TEST = "test"  # a test e-mail is sent with it
        SWITCH = "switch"  # it takes the place of the old one
        WATCH = "watch"  # until nobody uses the old one any more
        DISABLE = "disable"  # the old one is switched off
        REST = "rest"  # and stays so for a day
        DELETE = "delete"  # then it is deleted
        BACK = "back"  # the old one takes its place again
        CLEAN = "clean"  # the new one is taken out of AWS
        DONE = "done"
        UNDONE = "undone"  # the old key is in use, as before
        OVERTAKEN = "overtaken"  # somebody saved another key meanwhile

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    step = models.CharField(max_length=12, choices=Step.choices, default=Step.CREATE)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    started_at = models.DateTimeField(default=timezone.now)
    is_open = models.BooleanField(default=True)  # at most one is
    ended_at = models.DateTimeField(null=True, blank=True)

    old_key_id = models.CharField(max_length=128)
    old_secret_encrypted = models.TextField(blank=True)
    old_key_since = models.DateTimeField(null=True, blank=True)
    old_key_created_at = models.DateTimeField(null=True, blank=True)
    old_user = models.CharField(max_length=64, blank=True)  # of IAM
    new_key_id = models.CharField(max_length=128, blank=True)
    new_secret_encrypted = models.TextField(blank=True)
    new_user = models.CharField(max_length=64, blank=True)
    is_ours = models.BooleanField(default=False)  # TicketFlow had the new key made

    # The keys of the user just before CreateAccessKey; null before that was asked
    keys_before = models.JSONField(null=True, blank=True)
    to_drop = models.CharField(max_length=128, blank=True)  # an orphan, if one says so
    accepted = models.JSONField(default=list, blank=True)  # codes of problems
    test_message = models.ForeignKey(
        OutboxMessage,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    retry_until = models.DateTimeField(null=True, blank=True)  # IAM is slow to tell
    last_attempt_id = models.BigIntegerField(default=0)  # before the switch
    switched_at = models.DateTimeField(null=True, blank=True)
    off_at = models.DateTimeField(null=True, blank=True)
    back_wanted_at = models.DateTimeField(null=True, blank=True)
    back_wanted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    # What stands in the way, as texts: {"code", "title", "why", "fix", "words"}
    problem = models.JSONField(default=dict, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)  # null waits for a person
    claim_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_open"], condition=Q(is_open=True), name="rotation_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"rotation of the access key, {self.step}"


class KeyRotationEntry(models.Model):
    """A line in the trail of a rotation: who did what, and when. Never changed."""

    rotation = models.ForeignKey(
        KeyRotation, on_delete=models.CASCADE, related_name="entries"
    )
    at = models.DateTimeField(default=timezone.now)
    # None: TicketFlow did it by itself
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    text = models.CharField(max_length=500)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text
