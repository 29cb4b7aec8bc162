"""How long Email Activity takes to answer when five million messages were written.

    python bench/activity.py                      five million, on both databases
    python bench/activity.py --messages 200000    fewer
    python bench/activity.py --only sqlite        on one of the two
    python bench/activity.py --scratch FOLDER     where SQLite's file goes

Fills an installation of its own with made-up messages, asks for each page as a browser
would, through views, templates and database, and prints milliseconds and the number of
queries. "own CPU" is what this process computed: with SQLite all of it, with PostgreSQL
all but the database; it says more than the clock where others use the machine too. What is made for it (a folder, a database) is gone afterwards. Five million
take about 5 GB, twice that on SQLite while it fills, and about ten minutes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import delivery

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = 20_000
SHARED_BY = 25  # messages of one shared body
TIMES = 7  # each page, after one that is only counted as the first
AIM_MS = 200

# What an admin may ask Email Activity for
PAGES = {
    "all, newest first": "",
    "sent": "state=sent",
    "failed": "state=failed",
    "held": "state=held",
    "one kind": "kind=invitation",
    "sent, one kind": "state=sent&kind=test",
    "the last 7 days": "period=7d",
    "an address": "q=person777@larkfield.example",
    "the address of 50,000 messages": "q=alerts@larkfield.example",
    "the beginning of an address": "q=person77@",
    "a long beginning of many": "q=person1234",
    "an address that nobody has": "q=nobody@larkfield.example",
    "a ticket": "q=%2312345",
    "a message id": "q=0100000000004d2a-0000-4000-8000-000000",
    "a word of every subject": "q=larkfield",
    "a rare word": "q=zeppelin",
    "a word that nobody wrote": "q=qwertzuiop",
    "a rare word among the failed": "state=failed&q=zeppelin",
    "a rare word of one kind": "kind=ticket_received&q=zeppelin",
}


def main() -> None:
    """Measure what was asked for and print it."""
    options = _options()
    if options.inside:
        _inside(options)
        return
    for mode in [options.only] if options.only else ["postgresql", "sqlite"]:
        with tempfile.TemporaryDirectory(
            prefix="ticketflow-activity-", dir=options.scratch
        ) as folder:
            environment = delivery._environment(folder, port=0)
            if mode == "sqlite":
                _run(environment)
            else:
                with delivery._database(options.postgresql) as url:
                    _run({**environment, "DATABASE_URL": url})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=5_000_000)
    parser.add_argument("--only", choices=["postgresql", "sqlite"])
    parser.add_argument("--scratch", metavar="FOLDER", help="for SQLite's file")
    parser.add_argument(
        "--postgresql",
        default="postgres://postgres@127.0.0.1:5432/postgres",
        metavar="URL",
        help="a database to make another one beside (default: %(default)s)",
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(environment: dict[str, str]) -> None:
    subprocess.run(  # noqa: S603 - ours
        [sys.executable, __file__, *sys.argv[1:], "--inside"],
        cwd=ROOT,
        env=environment | {"DJANGO_SETTINGS_MODULE": "ticketflow.settings"},
        check=True,
    )


# Inside the installation


def _inside(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from email_settings.models import OutboxMessage

    call_command("migrate", "--skip-checks", verbosity=0)
    call_command("collectstatic", "--skip-checks", interactive=False, verbosity=0)
    begun = time.monotonic()
    if not OutboxMessage.objects.exists():
        _fill(options.messages)
    _say(
        f"{connection.vendor}: {options.messages:,} messages, "
        f"filled in {time.monotonic() - begun:.0f} s"
    )
    _say(
        f"{'milliseconds':36}{'first':>8}{'median':>8}{'most':>8}{'own CPU':>8}"
        f"{'queries':>9}{'rows':>6}"
    )
    _measure()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _measure() -> None:
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    from accounts.models import Role, User

    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client()
    admin, _ = User.objects.get_or_create(
        email="admin@larkfield.example",
        defaults={"name": "Ada", "role": Role.ADMIN, "password": "!"},
    )
    client.force_login(admin)
    address = reverse("email_settings:message-list")

    def ask(query: str) -> tuple[float, float, bytes]:
        begun, busy = time.perf_counter(), time.process_time()
        answer = client.get(f"{address}?{query}", secure=True)
        busy = (time.process_time() - busy) * 1000
        spent = (time.perf_counter() - begun) * 1000
        if answer.status_code != 200:
            raise AssertionError(f"{query}: {answer.status_code}")
        return spent, busy, answer.content

    ask("")  # templates are compiled, statements known
    for name, query in PAGES.items():
        first, _, page = ask(query)
        asked = [ask(query) for _ in range(TIMES)]
        spent, busy = [one[0] for one in asked], [one[1] for one in asked]
        with CaptureQueriesContext(connection) as queries:
            ask(query)
        rows = page.count(b'<td class="w-to full">')
        median = statistics.median(spent)
        late = "  <- above the aim" if median > AIM_MS else ""
        _say(
            f"{name:36}{first:8.0f}{median:8.0f}{max(spent):8.0f}"
            f"{statistics.median(busy):8.0f}{len(queries):9}{rows:6}{late}"
        )


# Filling


def _fill(count: int) -> None:
    from django.db import connection, transaction

    from email_settings.models import Brand, OutboxMessage, SesSettings

    Brand.objects.create(company_name="Larkfield")
    SesSettings.load()
    indexes = OutboxMessage._meta.indexes
    # Rows first, indexes afterwards: minutes instead of an hour.
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.remove_index(OutboxMessage, index)
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in _statements(count):
            cursor.execute(statement)
    for index in indexes:
        with connection.schema_editor() as editor:
            editor.add_index(OutboxMessage, index)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
        else:
            cursor.execute("ANALYZE")


def _statements(count: int) -> Iterator[str]:
    """Yield the statements that write bodies and messages, the oldest first."""
    from django.db import connection

    is_postgresql = connection.vendor == "postgresql"
    numbers = (
        "generate_series(1::bigint, {0}) AS numbers(n)"
        if is_postgresql
        else "(WITH RECURSIVE numbers(n) AS (VALUES (1) UNION ALL SELECT n + 1 "
        "FROM numbers WHERE n < {0}) SELECT n FROM numbers) AS numbers"
    )
    body = "'Maya answered: the cable between switch and printer is new. '"
    long_body = f"replace('xxxxxxxxxxxxxxxx', 'x', {body})"
    bodies = count // SHARED_BY + 1
    yield (
        f"INSERT INTO email_settings_sharedbody (id, text, html) "  # noqa: S608
        f"SELECT n, {body}, {long_body} FROM {numbers.format(bodies)}"
    )
    columns = _columns(count, is_postgresql=is_postgresql)
    yield (
        f"INSERT INTO email_settings_outboxmessage ({', '.join(columns)}) "  # noqa: S608
        f"SELECT {', '.join(columns.values())} FROM {numbers.format(count)}"
    )


def _columns(count: int, *, is_postgresql: bool) -> dict[str, Any]:
    """Return an expression for each column; `n` is the number of the message.

    Spread over three years, with a few of every state. One in a hundred goes to one
    address, one in a hundred thousand has a rare word.
    """
    seconds = 3 * 365 * 86_400 / count  # between two messages
    ago = f"({count} - n) * {seconds}"
    if is_postgresql:
        moment = f"now() - make_interval(secs => {ago})"
        uid, hexed, no = "md5(n::text)::uuid", "lpad(to_hex(n), 14, '0')", "false"
        text = "n::text"
    else:
        moment = (
            "strftime('%Y-%m-%d %H:%M:%f', julianday('now') - "
            f"{ago} / 86400.0)".replace("%", "%%")
        )
        uid, hexed, no = "lower(hex(randomblob(16)))", "printf('%%014x', n)", "0"
        text = "CAST(n AS text)"
    if not is_postgresql:
        # No parameters are given, so that nothing takes the signs for marks of them.
        moment, hexed = moment.replace("%%", "%"), hexed.replace("%%", "%")
    # Spread by a prime, so that neighbours have nothing in common
    person = text.replace("n", f"((n * 7919) % {PEOPLE})", 1)
    if not is_postgresql:
        person = f"CAST(((n * 7919) % {PEOPLE}) AS text)"
    ticket = text.replace("n", "(n / 5)", 1) if is_postgresql else "CAST(n / 5 AS text)"
    state = (
        "CASE WHEN n % 200 = 7 THEN 'failed' WHEN n % 1000 = 3 THEN 'suppressed' "
        "WHEN n % 1000 = 5 THEN 'cancelled' WHEN n % 1000 = 9 THEN 'held' "
        "WHEN n % 20000 = 11 THEN 'queued' WHEN n % 20000 = 13 THEN 'unknown' "
        "ELSE 'sent' END"
    )
    kind = (
        "CASE WHEN n % 500 = 1 THEN 'invitation' WHEN n % 50000 = 2 THEN 'test' "
        "WHEN n % 5 = 0 THEN 'ticket_received' WHEN n % 5 = 1 THEN 'ticket_new' "
        "ELSE 'public_reply' END"
    )
    word = (
        "CASE WHEN n % 100000 = 77 THEN 'The zeppelin is late' "
        "WHEN n % 3 = 0 THEN 'Printer on the third floor is silent' "
        "WHEN n % 3 = 1 THEN 'VPN drops every 20 minutes' "
        "ELSE 'Larkfield order that did not arrive' END"
    )
    is_sent = f"({state}) = 'sent'"
    return {
        **_defaults(),
        "uid": uid,
        "kind": kind,
        "lane": "2",
        "recipient": (
            "CASE WHEN n % 100 = 0 THEN 'alerts@larkfield.example' "
            f"ELSE 'person' || {person} || '@larkfield.example' END"
        ),
        "recipient_name": f"'Person ' || {person}",
        "subject": f"'[#' || {ticket} || '] ' || {word}",
        "text_body": "''",
        "html_body": "''",
        "shared_body_id": f"n / {SHARED_BY} + 1",
        "headers": """'{"Auto-Submitted": "auto-generated"}'""",
        "is_secret": no,
        "about_label": f"'#' || {ticket}",
        "about_path": f"'/tickets/' || {ticket} || '/'",
        "state": state,
        "reason_code": f"CASE WHEN ({state}) = 'held' THEN 'key_unknown' ELSE '' END",
        "reason": "''",
        "reason_detail": "''",
        "due_at": moment,
        "expires_at": moment,
        "attempts": "1",
        "claims": "1",
        "claim_token": "''",
        "ses_message_id": f"CASE WHEN {is_sent} THEN "
        f"'01' || {hexed} || '-0000-4000-8000-000000' ELSE '' END",
        "created_at": moment,
        "sent_at": f"CASE WHEN {is_sent} THEN {moment} END",
    }


def _defaults() -> dict[str, str]:
    """Return what stands in every column that nothing is said about here."""
    from email_settings.models import OutboxMessage

    return {
        str(field.column): f"'{field.get_default()}'"
        for field in OutboxMessage._meta.concrete_fields
        if not (field.null or field.primary_key or field.generated)
    }


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")
    main()
