"""The set-up checklist: each line a state, its evidence, and what mends it."""

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma
from django.urls import reverse

from email_settings.gateway.errors import ErrorClass
from email_settings.models import OutboxMessage, SesSettings
from email_settings.provisioning.policy import statement_for
from email_settings.status import Hold

# Others publish a DMARC policy for these that no Amazon SES account can satisfy.
FREE_MAIL_DOMAINS = frozenset(
    [
        "aol.com",
        "fastmail.com",
        "gmail.com",
        "gmx.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hotmail.co.uk",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "mac.com",
        "mail.com",
        "mail.ru",
        "me.com",
        "msn.com",
        "outlook.com",
        "pm.me",
        "proton.me",
        "protonmail.com",
        "qq.com",
        "t-online.de",
        "web.de",
        "wp.pl",
        "yahoo.co.uk",
        "yahoo.com",
        "yandex.ru",
        "ymail.com",
        "zoho.com",
    ]
)
# Regions outside of the usual partition have a console of their own.
CONSOLES = {
    "us-gov-": "console.amazonaws-us-gov.com",
    "eusc-": "console.amazonaws-eusc.eu",
}


@dataclass(frozen=True)
class Share:
    """How much of a limit is used."""

    used: float
    limit: float
    label: str


@dataclass(frozen=True)
class Check:
    """One line of the checklist."""

    name: str
    tone: str  # "ok", "warn", "bad", "run", or "idle" for what waits
    state: str
    text: str
    fix_label: str = ""
    fix_url: str = ""
    fix_is_outside: bool = False
    statement: str = ""  # JSON to paste in AWS
    share: Share | None = None

    @property
    def icon(self) -> str:
        """Its mark; "" shows its number instead."""
        marks = {"ok": "check", "warn": "alert", "bad": "x", "run": "refresh"}
        return marks.get(self.tone, "")


@dataclass(frozen=True)
class Evidence:
    """All that the checklist is drawn from: what is stored, never a question to AWS."""

    settings: SesSettings
    hold: Hold | None
    last_test: OutboxMessage | None
    worker_is_running: bool

    def problem(self, *codes: str) -> dict[str, str] | None:
        """The first of these problems that the last check met."""
        return next(
            (p for p in self.settings.check_problems if p["code"] in codes), None
        )


def checklist(evidence: Evidence) -> list[Check]:
    """Return the lines in the order in which they are mended."""
    lines: list[Callable[[Evidence], Check]] = [
        credentials,
        from_address,
        account_mode,
        quota,
        test_mail,
        sending,
    ]
    return [line(evidence) for line in lines]


def credentials(evidence: Evidence) -> Check:
    settings = evidence.settings
    name = "Credentials"
    if not settings.is_configured:
        return Check(name, "idle", "Not saved yet", "Fill in the form and save it.")
    if settings.account_id:
        return _known_credentials(evidence)
    if settings.is_sandbox is not None:
        return Check(
            name,
            "ok",
            "Valid",
            "Amazon SES answers to this key. STS did not say whose it is.",
        )
    if settings.check_problems:
        problem = settings.check_problems[0]
        is_refused = problem["kind"] == ErrorClass.CONFIG.value
        return Check(
            name,
            "bad" if is_refused else "warn",
            "Refused" if is_refused else "Not confirmed",
            " ".join([problem["title"], problem["why"], problem["fix"]]),
        )
    return Check(
        name, "warn", "Not confirmed", "AWS was not asked yet. Press Check now."
    )


def _known_credentials(evidence: Evidence) -> Check:
    settings = evidence.settings
    account = settings.account_id
    whose = f"AWS account {account[:4]}-{account[4:8]}-{account[8:]}"
    if settings.principal_arn:
        whose += f", {_principal(settings.principal_arn)}"
    problem = evidence.problem("region_not_enabled", "account_not_signed_up")
    if problem:
        return Check(
            "Credentials",
            "bad",
            "Not in this region",
            f"{whose}. {problem['title']} {problem['fix']}",
        )
    return Check("Credentials", "ok", "Valid", whose)


def _principal(arn: str) -> str:
    """Return "user ses" for arn:aws:iam::123456789012:user/ses."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    if not name:
        return "the root user: use an IAM user instead" if kind == "root" else kind
    return f"{kind} {name}"


def from_address(evidence: Evidence) -> Check:
    settings = evidence.settings
    name = "From address"
    if not settings.is_configured:
        return Check(
            name, "idle", "Waits for step 1", "It must be verified in your region."
        )
    address, region = settings.from_email, settings.region
    domain = address.rpartition("@")[2].lower()
    if settings.is_from_verified is False:
        return Check(
            name,
            "bad",
            "Not verified",
            f"Amazon SES does not know {address} in {region}. Verify it or its whole "
            "domain there, or choose the region in which it is verified.",
            fix_label="Open identities",
            fix_url=_console(settings, "identities"),
            fix_is_outside=True,
        )
    if domain in FREE_MAIL_DOMAINS:
        return Check(
            name,
            "warn",
            "Free mail domain",
            f"{domain} tells other providers to distrust mail that it did not send "
            "itself, so yours lands in the spam folder or nowhere. Use an address of "
            "your own domain.",
        )
    if settings.is_from_verified:
        return Check(name, "ok", "Verified", f"{address} may be used in {region}")
    return _unanswered(
        name,
        evidence,
        "ses:GetEmailIdentity",
        "whether it is verified; a test e-mail tells",
    )


def account_mode(evidence: Evidence) -> Check:
    settings = evidence.settings
    name = "Account mode"
    if not settings.is_configured:
        return Check(
            name, "idle", "Waits for step 1", "New accounts are in the sandbox."
        )
    paused = evidence.problem("sending_paused_by_aws", "sending_switched_off")
    if paused or settings.is_sending_enabled is False:
        return Check(
            name,
            "bad",
            "Paused",
            f"{paused['title']} {paused['fix']}"
            if paused
            else "Sending is switched off.",
            fix_label="Open the account",
            fix_url=_console(settings, "account"),
            fix_is_outside=True,
        )
    if settings.is_sandbox:
        return Check(
            name,
            "warn",
            "Sandbox",
            "In the sandbox SES delivers only to addresses you have verified, so "
            "requesters get nothing. Ask AWS for production access; they answer within "
            "a day.",
            fix_label="Request production access",
            fix_url=_console(settings, "get-set-up"),
            fix_is_outside=True,
        )
    if settings.is_sandbox is False:
        return Check(name, "ok", "Production", "You can write to any address")
    return _unanswered(name, evidence, "ses:GetAccount", "whether this is the sandbox")


def quota(evidence: Evidence) -> Check:
    settings = evidence.settings
    name = "Quota and send rate"
    limit, used, rate = (
        settings.max_24_hour_send,
        settings.sent_last_24_hours,
        settings.max_send_rate,
    )
    if not settings.is_configured:
        return Check(name, "idle", "Waits for step 1", "AWS sets them for each region.")
    if limit is None or used is None:
        return _unanswered(name, evidence, "ses:GetAccount", "how much may be sent")
    speed = f", up to {_number(rate)} per second" if rate else ""
    if limit < 0:
        return Check(
            name, "ok", "Unlimited", f"{_number(used)} sent in 24 hours{speed}"
        )
    percent = used / limit * 100 if limit else 100
    label = f"{_number(used)} of {_number(limit)}"
    return Check(
        name,
        "ok" if percent < 80 else "warn" if percent < 100 else "bad",
        f"{percent:.0f} % used",
        f"{label} in 24 hours{speed}",
        share=Share(used, max(limit, 1), f"Quota used: {label}"),
    )


def test_mail(evidence: Evidence) -> Check:
    name = "Test e-mail"
    test = evidence.last_test
    if test is None:
        return Check(
            name,
            "idle",
            "Not sent yet",
            "Press Send Test Email when step 1 is green.",
        )
    tone, state = {
        OutboxMessage.State.SENT: ("ok", "Accepted by SES"),
        OutboxMessage.State.QUEUED: ("run", "On its way"),
        OutboxMessage.State.SENDING: ("run", "On its way"),
        OutboxMessage.State.HELD: ("warn", "Held"),
        OutboxMessage.State.UNKNOWN: ("warn", "Unknown"),
    }.get(OutboxMessage.State(test.state), ("bad", "Not sent"))
    return Check(
        name,
        tone,
        state,
        " ".join(filter(None, [f"To {test.recipient}.", test.reason])),
        fix_label="See what happened",
        fix_url=reverse("email_settings:test-detail", args=[test.uid]),
    )


def sending(evidence: Evidence) -> Check:
    name = "Sending"
    activity = reverse("email_settings:message-list")
    if evidence.hold:
        return Check(
            name,
            "bad",
            "Held",
            f"{evidence.hold.title} {evidence.hold.fix} Messages wait and nothing is lost.",
            fix_label="Show the messages",
            fix_url=activity,
        )
    if not evidence.settings.is_live:
        return Check(
            name,
            "idle",
            "Rehearsal",
            "Messages are captured here until you go live.",
        )
    if not evidence.worker_is_running:
        return Check(
            name,
            "bad",
            "No worker",
            "No worker is running. Start it; messages wait and leave by themselves then.",
        )
    return Check(name, "ok", "Live", "Messages leave within seconds")


def _unanswered(name: str, evidence: Evidence, action: str, what: str) -> Check:
    """A line that AWS gave no answer for: for want of a right, or for another reason."""
    if not evidence.settings.checked_at:
        return Check(name, "idle", "Not checked", "Press Check now.")
    denied = next(
        (
            problem
            for problem in evidence.settings.check_problems
            if problem["code"] == "access_denied" and action in problem["title"]
        ),
        None,
    )
    if denied:
        return Check(
            name,
            "warn",
            "No permission",
            f"The key may not ask ({action}). Mail can leave without it; add this "
            "statement to the user's policy to see more.",
            statement=statement_for(action, evidence.settings),
        )
    return Check(name, "idle", "Not known", f"AWS did not say {what}.")


def _console(settings: SesSettings, page: str) -> str:
    region = settings.region
    domain = next(
        (domain for start, domain in CONSOLES.items() if region.startswith(start)),
        "console.aws.amazon.com",
    )
    return f"https://{region}.{domain}/ses/home?region={region}#/{page}"


def _number(value: float) -> str:
    return intcomma(int(value)) if value == int(value) else f"{value:g}"
