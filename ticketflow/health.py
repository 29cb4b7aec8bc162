"""Whether the product works, as findings that probes and the doctor share.

How mail stands, and from when on that is wrong, says email_settings.status.
"""

import functools
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.timesince import timesince
from redis import Redis
from redis.exceptions import RedisError

from email_settings import keys as stored_keys
from email_settings.canary import canary_of
from email_settings.canary import said as canary_says
from email_settings.credentials import is_server_role_allowed
from email_settings.gateway.errors import recall
from email_settings.key_age import KeyAge
from email_settings.pacing import effective_rate
from email_settings.querysets import REHEARSAL
from email_settings.quota import Quota
from email_settings.readiness.outlook import Outlook
from email_settings.reputation.rates import Level, percent
from email_settings.status import COUNT_LIMIT, GUARDED, Depth, MailStatus
from ticketflow.lib import encryption
from ticketflow.lib.counting import shown_count

KEYS = "Keys"
# Below this the next upload, log or database page may not fit any more.
LEAST_FREE_BYTES = 200 * 1024 * 1024
BROKER_PATIENCE = 3.0  # seconds


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, how it is, and the way on.

    `fix` mends what is wrong; with what is well it is something to know.
    """

    name: str
    is_well: bool
    says: str
    fix: str = ""


def _well(name: str, says: str, hint: str = "") -> Finding:
    return Finding(name, is_well=True, says=says, fix=hint)


def _wrong(name: str, says: str, fix: str) -> Finding:
    return Finding(name, is_well=False, says=says, fix=fix)


# What the probes ask


def alive() -> Iterator[Finding]:
    """Look whether this process can serve pages: /healthz."""
    yield (found := database())
    if found.is_well:
        yield migrations()


def ready() -> Iterator[Finding]:
    """Look whether mail leaves as it should: /readyz. No more than some look-ups."""
    yield from (found := list(alive()))
    if all(finding.is_well for finding in found):
        mail = MailStatus()
        yield worker(mail)
        if mail.worker_is_running:
            yield schedule(mail)
        yield oldest_mail(mail)
        yield secret(mail)
        yield news(mail)
        yield canary(mail)


def examine() -> Iterator[Finding]:
    """Look at everything, for the doctor; also while the database is away."""
    yield from (found := list(alive()))
    if all(finding.is_well for finding in found):
        mail = MailStatus()
        yield worker(mail)
        if mail.worker_is_running:
            yield schedule(mail)
        yield broker()
        yield oldest_mail(mail)
        yield from how_mail_stands(mail)
        yield from how_mail_fares(mail)
        yield from set_up(mail)
        yield from credentials_in_use(mail)
        yield from keys_in_use()
    else:
        yield broker()
        yield key_file(is_needed=False)
    yield from data_folder()


# Database


def database() -> Finding:
    """Look whether the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return _wrong(
            "Database",
            f"It does not answer: {str(error).strip()}",
            "Check DATABASE_URL and that the database server is running.",
        )
    return _well("Database", "It answers.")


_all_were_applied = False


def migrations() -> Finding:
    """Look whether the database has every table and column that this code knows.

    Asked until it is so, once in a process: what is applied stays applied. What a newer
    version applied already is no trouble, so that an update can be rolled out step by
    step.
    """
    global _all_were_applied
    if not _all_were_applied:
        missing = _known_migrations() - _applied_migrations()
        if missing:
            first = ".".join(min(missing))
            return _wrong(
                "Migrations",
                f"{len(missing)} of this version are not applied, {first} among them.",
                "Run: python manage.py migrate",
            )
        _all_were_applied = True
    return _well("Migrations", "All are applied.")


@functools.cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations)


def _applied_migrations() -> set[tuple[str, str]]:
    return set(MigrationRecorder(connection).applied_migrations())


# Who sends


def worker(mail: MailStatus) -> Finding:
    """Look for a worker that has just shown a sign of life."""
    if mail.worker_is_running:
        return _well("Worker", "It is running.")
    beat = mail.worker_last_beat
    last = f"It was last seen {_ago(beat)}." if beat else "None ever ran."
    return _wrong(
        "Worker",
        f"No worker is running. {last} Mail waits, nothing is lost.",
        "Start TicketFlow with `make run`. Where web and worker run apart, start "
        "`python -m ticketflow.runtime.worker` and read its log.",
    )


def schedule(mail: MailStatus) -> Finding:
    """Look whether the worker's schedule runs: it tries again what failed."""
    if mail.beat_is_running:
        return _well("Schedule", "It runs.")
    last = mail.beat_last_task
    since = f"Its last task ran {_ago(last)}." if last else "No task of it ever ran."
    return _wrong(
        "Schedule",
        f"The worker lives, but its schedule stands still. {since}",
        "If Redis is used, see that it answers. Else restart the worker; its log says "
        "what happened.",
    )


def broker() -> Finding:
    """Look whether Redis answers, where it is used. Never names its password."""
    if not settings.REDIS_URL:
        return _well("Broker", "None is needed: the worker watches the database.")
    address = urlsplit(settings.REDIS_URL)
    place = f"{address.hostname}:{address.port or 6379}"
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=BROKER_PATIENCE,
            socket_connect_timeout=BROKER_PATIENCE,
        ) as redis:
            redis.ping()
    except (RedisError, ValueError) as error:
        return _wrong(
            "Broker",
            f"Redis at {place} does not answer: {type(error).__name__}. Tickets are "
            "saved, and their mail waits.",
            "Start Redis, or correct REDIS_URL. Mail leaves by itself after.",
        )
    return _well("Broker", f"Redis at {place} answers.")


# Mail


def oldest_mail(mail: MailStatus) -> Finding:
    """Look whether mail that is due leaves in time."""
    due = mail.oldest_due_at
    if due is None:
        return _well("Mail", "None is due.")
    if not mail.is_late:
        return _well("Mail", "The oldest is on its way.")
    return _wrong(
        "Mail",
        f"The oldest was due {_ago(due)} and is still waiting.",
        "If no worker is running, start one. If one is, read its log and Admin Panel → "
        "Email Activity.",
    )


def how_mail_stands(mail: MailStatus) -> Iterator[Finding]:
    """Say what waits, for what, and how fast mail leaves."""
    if mail.is_rehearsal:
        yield _well(
            "Mode",
            f"Rehearsal: no mail leaves, {_shown(mail.captured_count)} are captured.",
            "Go live in Admin Panel → Email Settings when you are ready.",
        )
    yield from _what_holds(mail)
    yield from _what_waits(mail.depths)
    if mail.unknown_count:
        yield _well(
            "In doubt",
            f"{_shown(mail.unknown_count)} went out and no answer came.",
            "Decide about each in Admin Panel → Email Activity → Unknown.",
        )
    if not mail.is_rehearsal:
        yield from _how_fast(mail)


def set_up(mail: MailStatus) -> Iterator[Finding]:
    """Say what the checklist of Email Settings found last; nobody is asked."""
    outlook = Outlook.of(mail.settings)
    for line in outlook.wrong:
        yield _wrong("Set-up", f"{line.name}: {line.said}. {line.evidence}", line.fix)
    if not outlook.total:
        return
    todo = ", ".join(f"{line.name} ({line.said})" for line in outlook.todo)
    yield _well(
        "Set-up",
        f"{outlook.done} of {outlook.total} lines of the checklist are done."
        + (f" To do: {todo}." if todo else ""),
        "Admin Panel → Email Settings says how." if todo else "",
    )


# What becomes of it


def how_mail_fares(mail: MailStatus) -> Iterator[Finding]:
    """Say whether it arrives, and whether anybody would know."""
    yield from reputation(mail)
    yield news(mail)
    yield canary(mail)


def reputation(mail: MailStatus) -> Iterator[Finding]:
    """Say how much mail bounces and is called spam, by AWS's lines."""
    bounces, complaints = mail.reputation.both
    if not mail.reputation.is_known:
        yield _well("Reputation", "There is too little mail with news to say.")
        return
    says = (
        f"Bounces {bounces.percent}, AWS reviews an account at "
        f"{percent(bounces.lines.review)}; complaints {complaints.percent}, review at "
        f"{percent(complaints.lines.review)}."
    )
    if mail.guard and not mail.guard.open_until:
        waiting = _shown(mail.guard.waiting)
        yield _wrong(
            "Reputation",
            f"{says} Notices are held so that AWS does not stop the account: {waiting} "
            "wait.",
            recall(GUARDED).fix,
        )
    elif max(bounces.level, complaints.level) > Level.FINE:
        hint = "Look at what bounced in Admin Panel → Email Activity."
        yield _well("Reputation", says, hint)
    else:
        yield _well("Reputation", says)


def news(mail: MailStatus) -> Finding:
    """Look whether delivery events come while mail leaves, as the worker found it."""
    name = "Events"
    if silence := mail.silence:
        first, *_ = silence.causes(mail.settings)
        since = f"{silence.since:%d %B %H:%M} UTC"
        return _wrong(name, f"{silence.title}, since {since}. {silence.what}", first)
    return _well(name, "No mail waits for news that is overdue.")


def canary(mail: MailStatus) -> Finding:
    """Look whether the last mail to the simulator left, and its event came back."""
    name = "Canary"
    found = canary_of(mail.settings)
    if found.is_trouble:
        return _wrong(
            name,
            canary_says(found),
            "Admin Panel → Email Settings → Delivery events shows each step between.",
        )
    return _well(name, canary_says(found))


def _what_holds(mail: MailStatus) -> Iterator[Finding]:
    if stop := mail.stop:
        yield _well(
            "Hold",
            f"{stop.by or 'An admin'} holds all mail since {stop.since:%d %B %H:%M} "
            f"UTC: {_shown(stop.waiting)} wait.",
            "Press Release in Admin Panel → Email Activity.",
        )
    if hold := mail.hold:
        since = f", since {hold.since:%d %B %H:%M} UTC" if hold.since else ""
        words = f" AWS says: {hold.detail}" if hold.detail else ""
        yield _wrong(
            "Hold",
            f"All mail is held{since}: {hold.title} {hold.reason}{words}",
            hold.fix,
        )


def _what_waits(depths: Iterable[Depth]) -> Iterator[Finding]:
    """One line a state, with its lanes; held mail one line a reason."""
    names = {"due": "Due", "later": "For later", "sending": "Sending", "held": "Held"}
    groups: dict[tuple[str, str], Counter[str]] = {}
    for depth in depths:
        if depth.reason_code != REHEARSAL:
            lanes = groups.setdefault((depth.state, depth.reason_code), Counter())
            lanes[depth.lane.label.lower()] += depth.count
    for (state, reason_code), lanes in groups.items():
        listed = ", ".join(f"{_shown(n)} {lane}" for lane, n in lanes.items())
        reason = f" {recall(reason_code).title}" if reason_code else ""
        yield _well(names[state], f"{listed}.{reason}")


def _how_fast(mail: MailStatus) -> Iterator[Finding]:
    now = timezone.now()
    yield _well(
        "Rate", f"Up to {effective_rate(mail.settings, now):g} recipients per second."
    )
    quota = Quota.of(mail.settings, now)
    if quota is None:
        return
    says = f"{quota.used:,.0f} of {quota.limit:,.0f} recipients in the last 24 hours."
    if quota.is_reserve_reached:
        yield _well(
            "Quota",
            f"{says} The rest is kept for password resets and invitations.",
            "Other mail goes on as the window gets free. Ask AWS for a higher quota if "
            "this happens often.",
        )
    else:
        yield _well("Quota", says)


# Who signs


def credentials_in_use(mail: MailStatus) -> Iterator[Finding]:
    """Say where the AWS credentials come from, whose they are, and how old a key is."""
    row = mail.settings
    if not row.is_configured:
        return
    name = "Credentials"
    uses_server = row.source == row.Source.SERVER or not row.has_key
    if uses_server and not is_server_role_allowed():
        problem = recall("server_role_off")
        yield _wrong(name, f"{problem.title} {problem.why}", problem.fix)
        return
    own = "this server's own" if uses_server else f"access key …{row.key_hint}"
    is_role = row.source == row.Source.ROLE
    says = (
        f"{row.role_arn}, assumed with {own}."
        if is_role
        else f"{own[0].upper()}{own[1:]}."
    )
    if row.principal_arn:
        says += f" AWS knows them as {row.principal_arn}."
    if not uses_server and (age := KeyAge.of(row)):
        says += f" The key is {age.days} days old."
        if age.is_due:
            hint = "Time for a new one: Admin Panel → Email Settings → Rotate the key."
            yield _well(name, says, hint)
            return
    yield _well(name, says)


# Keys


def secret(mail: MailStatus) -> Finding:
    """Look whether the AWS secret that is stored can be read."""
    if mail.key_problem:
        return _wrong(KEYS, mail.key_problem, _WAY_BACK)
    return _well(KEYS, "The stored AWS secret can be read, if there is one.")


_WAY_BACK = (
    "Put the right key file back, from a backup if need be: mail then leaves by itself. "
    "If it is gone for good, enter the AWS Secret Access Key again in Admin Panel → "
    "Email Settings."
)


def key_file(*, is_needed: bool) -> Finding:
    """Look whether the key file can be used, which needs no database."""
    path = settings.KEYS_FILE
    try:
        count = len(encryption.key_ids())
    except encryption.KeyFileMissingError as error:
        if not is_needed:
            hint = "The database knows whether one is needed, and can't be asked."
            return _well(KEYS, str(error), hint)
        return _wrong(KEYS, str(error), _WAY_BACK)
    except encryption.EncryptionError as error:
        return _wrong(
            KEYS, str(error), "Correct the file, or put it back from a backup."
        )
    return _well(KEYS, f"{path} can be read. It has {count}.")


def keys_in_use() -> Iterator[Finding]:
    """Say of each key how many stored values need it, and which can't be read."""
    try:
        found = stored_keys.uses()
    except encryption.KeyFileError:
        yield key_file(is_needed=True)
        return
    if not found:
        yield _well(KEYS, "None is needed yet.")
        return
    yield key_file(is_needed=True)
    for place, (key_id, use) in enumerate(found.items()):
        yield _one_key(key_id, use, is_first=place == 0)


def _one_key(key_id: str, use: stored_keys.KeyUse, *, is_first: bool) -> Finding:
    if use.unreadable:
        return _wrong(
            KEYS,
            f"Key {key_id}: {use.unreadable:,} of {use.total:,} stored values can't be "
            "read. The key is not in the file, or they were changed.",
            _WAY_BACK,
        )
    role = " It encrypts what is new." if is_first else ""
    hint = "" if is_first or use.total else "Nothing needs it: see rotate_keys."
    return _well(KEYS, f"Key {key_id}: {use.total:,} stored values.{role}", hint)


# This machine


def data_folder() -> Iterator[Finding]:
    """Look whether the data folder can be written, is private, and has room."""
    folder = Path(settings.DATA_DIR)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        open_to_others = _open_to_others(folder)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield _wrong(
            "Data folder",
            f"{folder} cannot be written: {error.strerror}.",
            "Make it writable for the user that runs TicketFlow.",
        )
        return
    if open_to_others:
        yield _wrong(
            "Data folder",
            f"Other people on this machine can read {', '.join(open_to_others)}.",
            f"Close the folder with: chmod 700 {folder}",
        )
    else:
        yield _well("Data folder", f"{folder} can be written, and is private.")
    yield _disk(free)


def _open_to_others(folder: Path) -> list[str]:
    """Return the files that others can read; in a closed folder they can read none."""
    if not _is_open(folder):
        return []
    private = ["secret_key", "setup_token", "keys", "ticketflow.sqlite3", "files"]
    paths = [folder / name for name in private]
    return [str(path) for path in paths if path.exists() and _is_open(path)]


def _is_open(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _disk(free: int) -> Finding:
    says = f"{filesizeformat(free)} are free."
    if free < LEAST_FREE_BYTES:
        return _wrong("Disk", says, "Make room: nothing can be saved on a full disk.")
    return _well("Disk", says)


def _shown(count: int) -> str:
    return shown_count(count, COUNT_LIMIT)


def _ago(moment: datetime) -> str:
    return f"{timesince(moment)} ago"
