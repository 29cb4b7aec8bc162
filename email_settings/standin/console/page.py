"""How the console looks: plain forms that need no JavaScript."""

from email import message_from_bytes, policy
from html import escape
from typing import cast
from urllib.parse import quote

from email_settings.standin.account import Account, Identity, Key, Region
from email_settings.standin.console.changes import DMARC_POLICIES
from email_settings.standin.faults import OF_ALL_CALLS, Fault
from email_settings.standin.presets import RIGHTS
from email_settings.standin.zone import Answer

NEWEST = 20  # mails and calls on the page
Rows = list[tuple[str, str]]
_RIGHTS_IN_WORDS = {
    "all": "Everything",
    "events": "Send, read, receive events",
    "read": "Send and read",
    "send": "Send only",
    "none": "Nothing",
}


def page(account: Account, region: Region) -> str:
    """Return the whole page about an account, with one of its regions."""
    parts = [
        ("start", "All at once", _beginnings(region)),
        ("keys", "Access keys", _keys(account, region)),
        ("region", f"SES in {escape(region.name)}", _switches(account, region)),
        ("senders", f"Senders in {escape(region.name)}", _senders(account, region)),
        ("dns", "DNS", _dns(account, region)),
        ("events", "Events: what became of a mail", _events(account, region)),
        ("way", "Between TicketFlow and AWS", _troubles(account, region)),
        ("mails", "Mail that was taken", _mails(account)),
        ("calls", "What AWS was asked", _calls(account)),
    ]
    contents = "".join(f'<li><a href="#{at}">{name}</a></li>' for at, name, _ in parts)
    sections = "".join(
        f'<section id="{at}"><h2>{name}</h2>{inside}</section>'
        for at, name, inside in parts
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The stand-in for AWS</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>The stand-in for AWS</h1>
<p>It plays AWS for this TicketFlow. Break something here, and look at what TicketFlow
makes of it; mend it, and mail leaves again. No mail leaves this machine.</p>
<p>You look at the region <strong>{escape(region.name)}</strong>. Others:
{_other_regions(account, region)}</p>
<nav aria-label="On this page"><ul>{contents}</ul></nav>
{sections}
</main>
</body>
</html>
"""


_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { background: Canvas; color: CanvasText; max-width: 50rem; margin: 0 auto; padding: 1rem }
section { border-top: 1px solid GrayText; margin-top: 1.5rem }
nav ul { display: flex; flex-wrap: wrap; gap: 0 1rem; list-style: none; padding: 0 }
nav a { display: inline-block; padding: .5rem 0 }
form { display: inline-block; margin: 0 .5rem .5rem 0; max-width: 100% }
dt { font-weight: 600; margin-top: .75rem } dd { margin: 0 }
button, input { font: inherit; padding: .25rem .75rem; min-height: 2.75rem; max-width: 100%; box-sizing: border-box }
button { color: CanvasText; background: Canvas; border: 1px solid GrayText; border-radius: .375rem; text-align: left }
button[aria-pressed=true] { font-weight: 700; outline: 2px solid }
code { overflow-wrap: anywhere } li { margin: .25rem 0 }
summary { min-height: 2.75rem; line-height: 2.75rem; cursor: pointer }
"""


class _Forms:
    """Makes the forms of one section, which lead back to it."""

    def __init__(self, region: Region, back: str) -> None:
        self.start = (
            f'<form method="post" action="/change?region={quote(region.name)}">'
            f'<input type="hidden" name="back" value="{back}">'
        )

    def button(
        self, what: str, value: str, label: str, *, on: bool | None = None
    ) -> str:
        """Return a button; `on` says whether it is how things are, None when it acts."""
        pressed = "" if on is None else f' aria-pressed="{str(on).lower()}"'
        return (
            f"{self.start}"
            f'<input type="hidden" name="what" value="{escape(what)}">'
            f'<button name="value" value="{escape(value)}"{pressed}>'
            f"{escape(label)}</button></form>"
        )

    def choice(self, what: str, chosen: str, labels: dict[str, str]) -> str:
        return "".join(
            self.button(what, value, label, on=value == chosen)
            for value, label in labels.items()
        )

    def yes_no(self, what: str, yes: str, no: str, *, on: bool) -> str:
        return self.choice(what, "yes" if on else "no", {"yes": yes, "no": no})

    def field(self, what: str, value: str, label: str, button: str) -> str:
        return (
            f"{self.start}"
            f'<input type="hidden" name="what" value="{escape(what)}">'
            f'<label>{escape(label)}<br><input name="value" value="{escape(value)}"></label> '
            f"<button>{escape(button)}</button></form>"
        )


def _list(rows: Rows) -> str:
    return "<dl>" + "".join(f"<dt>{t}</dt><dd>{d}</dd>" for t, d in rows) + "</dl>"


def _other_regions(account: Account, region: Region) -> str:
    names = sorted({"eu-west-1", "us-east-1", *account.regions} - {region.name})
    return ", ".join(
        f'<a href="/?region={quote(name)}">{escape(name)}</a>' for name in names
    )


def _beginnings(region: Region) -> str:
    forms = _Forms(region, "start")
    return (
        "<p>Each puts every region, every sender and all of DNS back. The mails that "
        "were taken stay.</p>"
        + forms.button("begin", "new", "A new account: nothing is set up")
        + forms.button("begin", "ready", "Everything is right")
    )


def _keys(account: Account, region: Region) -> str:
    forms = _Forms(region, "keys")
    key: Key | None = next(iter(account.keys.values()), None)
    rights = key.actions if key else frozenset()
    minutes = round(account.clock_offset.total_seconds() / 60)
    pairs = "".join(
        f"<li>Key ID <code>{escape(one.access_key_id)}</code>, "
        f"secret <code>{escape(one.secret)}</code>"
        f"{'' if one.is_active else ', inactive'}</li>"
        for one in account.keys.values()
        if not one.assumed
    )
    chosen = next((name for name, value in RIGHTS.items() if value == rights), "")
    return f"<p>Paste this into Email Settings:</p><ul>{pairs}</ul>" + _list(
        [
            (
                "The keys are",
                forms.yes_no(
                    "keys", "Active", "Inactive", on=key is not None and key.is_active
                ),
            ),
            (
                "What they may do",
                forms.choice("rights", chosen, _RIGHTS_IN_WORDS),
            ),
            (
                "AWS's clock",
                forms.choice(
                    "clock",
                    str(minutes),
                    {
                        "0": "Right",
                        "12": "12 minutes ahead of this machine",
                        "-12": "12 minutes behind",
                    },
                ),
            ),
        ]
    )


def _switches(account: Account, region: Region) -> str:
    forms = _Forms(region, "region")
    reviews = {
        "": "None was asked for",
        "PENDING": "Pending",
        "GRANTED": "Granted",
        "DENIED": "Denied",
        "FAILED": "Failed",
    }
    opinions = {w: w.capitalize() for w in ("HEALTHY", "PROBATION", "SHUTDOWN")}
    return _list(
        [
            (
                "Region",
                forms.yes_no("enabled", "Enabled", "Not enabled", on=region.is_enabled),
            ),
            (
                "Account",
                forms.yes_no(
                    "production", "Production", "Sandbox", on=region.is_production
                ),
            ),
            (
                "AWS's review of the request to leave the sandbox",
                forms.choice("review", region.review.status, reviews),
            ),
            (
                "Sending",
                forms.yes_no(
                    "sending", "On", "Switched off", on=region.is_sending_enabled
                ),
            ),
            (
                "AWS's opinion of the account",
                forms.choice("enforcement", region.enforcement, opinions),
            ),
            (
                "Limits in production",
                forms.field(
                    "rate", f"{region.max_send_rate:.0f}", "Mails a second", "Set"
                )
                + forms.field(
                    "quota", f"{region.max_24_hour_send:.0f}", "Mails a day", "Set"
                ),
            ),
        ]
    )


def _senders(account: Account, region: Region) -> str:
    forms = _Forms(region, "senders")
    elsewhere = "us-east-1" if region.name != "us-east-1" else "eu-west-1"
    rows = [
        (
            f"<code>{escape(name)}</code>",
            _sender(account, region, identity, forms)
            + forms.button(
                "move", f"{name}>{elsewhere}", f"Let it be known in {elsewhere} instead"
            )
            + forms.button("forget", name, "Remove"),
        )
        for name, identity in region.identities.items()
    ]
    listed = _list(rows) if rows else "<p>None.</p>"
    return listed + forms.field("verify", "", "Address or domain", "Add as verified")


def _sender(account: Account, region: Region, identity: Identity, forms: _Forms) -> str:
    name = identity.name
    said = "Verified. " if identity.is_verified else "Not verified yet. "
    buttons = ""
    if not identity.is_verified:
        label = "Say that it is verified" if identity.is_domain else "Click AWS's link"
        buttons += forms.button("verify", name, label)
    if identity.is_domain:
        problem = account.dkim_problem(region, identity)
        said += f"DKIM records: {_in_words(problem)}. "
        said += _mail_from(account, region, identity)
        buttons += forms.button("publish", name, "Publish all its DNS records")
        for how, label in {
            "missing": "Take the DKIM records away",
            "wrong": "DKIM with a wrong target",
            "doubled": "DKIM with the zone's name doubled",
        }.items():
            buttons += forms.button("dkim", f"{name}:{how}", label)
        if identity.mail_from:
            buttons += forms.button(
                "mail-from", f"{name}:two", "A second MX at the MAIL FROM domain"
            )
            buttons += forms.button(
                "mail-from", f"{name}:missing", "Take the MAIL FROM records away"
            )
        else:
            buttons += forms.button(
                "add-mail-from", name, f"MAIL FROM domain bounce.{name}"
            )
    return f"<p>{said}</p>{buttons}"


def _in_words(problem: str) -> str:
    return {
        "": "published and right",
        "DNS_SERVER_ERROR": "the DNS server failed",
        "HOST_NOT_FOUND": "missing",
        "TYPE_NOT_FOUND": "no CNAME at the name",
        "INVALID_VALUE": "with a wrong target",
    }[problem]


def _mail_from(account: Account, region: Region, identity: Identity) -> str:
    if identity.mail_from is None:
        return "No MAIL FROM domain."
    status = account.mail_from_status(region, identity).lower().replace("_", " ")
    return f"MAIL FROM domain {escape(identity.mail_from.domain)}: {status}."


def _dns(account: Account, region: Region) -> str:
    forms = _Forms(region, "dns")
    domains = {one.name for one in region.identities.values() if one.is_domain}
    labels = {
        "missing": "None",
        **{name: f"p={name}" for name in DMARC_POLICIES},
        "two": "Two records",
        "broken": "One that nobody can read",
    }
    rows = [
        (
            f"DMARC of <code>{escape(domain)}</code>",
            f"<p>Now: {_values(account, f'_dmarc.{domain}')}</p>"
            + "".join(
                forms.button("dmarc", f"{domain}:{how}", label)
                for how, label in labels.items()
            ),
        )
        for domain in sorted({account.domain, *domains} - {""})
    ]
    broken = account.zone.broken.get("")
    rows += [
        (
            "The DNS server",
            forms.choice(
                "dns",
                broken.name if broken else "FOUND",
                {
                    "FOUND": "Answers",
                    Answer.SERVER_FAILS.name: "Fails (SERVFAIL)",
                    Answer.SILENCE.name: "Is silent",
                },
            ),
        ),
        (
            "AWS",
            forms.yes_no(
                "looks",
                "Looks at DNS at once",
                "Has not looked yet",
                on=account.looks_at_dns,
            ),
        ),
    ]
    records = "".join(
        f"<li><code>{escape(name)} {kind} {escape(value)}</code></li>"
        for (name, kind), values in sorted(account.zone.records.items())
        for value in values
    )
    return (
        _list(rows)
        + f"<details><summary>All records</summary><ul>{records}</ul></details>"
    )


def _values(account: Account, name: str) -> str:
    found = account.zone.values(name, "TXT")
    return ", ".join(f"<code>{escape(value)}</code>" for value in found) or "none"


def _events(account: Account, region: Region) -> str:
    forms = _Forms(region, "events")
    feed = account.feed
    sets = "".join(
        f"<li>Configuration set <code>{escape(name)}</code> "
        f"{forms.button('remove-set', name, 'Remove')}</li>"
        for name in region.sets
    )
    topics = "".join(
        f"<li>Topic <code>{escape(arn)}</code>, "
        f"{len(topic.subscriptions)} subscribed "
        f"{forms.button('close-topic', arn, 'Take its policy away')}</li>"
        for arn, topic in region.topics.items()
    )
    queues = "".join(
        f"<li>Queue <code>{escape(queue.url)}</code>, {len(queue.letters)} in it</li>"
        for queue in region.queues.values()
    )
    made = f"<ul>{sets}{topics}{queues}</ul>" if sets or topics or queues else ""
    seconds = round(feed.delay.total_seconds())
    return (
        (made or "<p>Nothing is connected.</p>")
        + forms.button("connect", "yes", "Make a set, a topic and a queue")
        + _list(
            [
                (
                    "Events come",
                    forms.choice(
                        "delay",
                        str(seconds),
                        {"0": "At once", "1": "After a second", "60": "After a minute"},
                    )
                    + forms.button("feed", "stopped", "Not at all", on=feed.is_stopped)
                    + forms.button("feed", "doubled", "Twice", on=feed.is_doubled)
                    + forms.button(
                        "feed", "reversed", "In the wrong order", on=feed.is_reversed
                    ),
                ),
                (
                    "Addresses that bounce",
                    _removable(forms, "end-bounce", sorted(account.bouncing))
                    + forms.field("bounce", "", "Address or @domain", "Let it bounce"),
                ),
                (
                    "Addresses whose owners complain",
                    _removable(forms, "end-complain", sorted(account.complaining))
                    + forms.field(
                        "complain", "", "Address or @domain", "Let it complain"
                    ),
                ),
                (
                    "Mailboxes that are full",
                    _removable(forms, "end-full", sorted(account.full))
                    + forms.field("full", "", "Address or @domain", "Fill it"),
                ),
                (
                    "AWS's list of addresses that it does not deliver to",
                    _removable(forms, "end-suppression", sorted(region.suppressed))
                    + forms.field("suppress", "", "Address to list", "Add"),
                ),
            ]
        )
    )


def _removable(forms: _Forms, what: str, values: list[str]) -> str:
    return "".join(
        f"<div><code>{escape(value)}</code> {forms.button(what, value, 'Remove')}</div>"
        for value in values
    )


def _troubles(account: Account, region: Region) -> str:
    forms = _Forms(region, "way")
    left = account.trouble
    now = "All is calm."
    if left and left.times:
        calm = forms.button("calm", "", "End it")
        calls = "calls" if left.meets_all else "sends"
        now = f"The next {left.times} {calls}: {escape(left.fault.value)}. {calm}"
    buttons = "".join(
        forms.button("trouble", f"{fault.name}:5", fault.value.capitalize())
        for fault in Fault
    )
    for_all = "".join(
        forms.button("trouble-for-all", f"{fault.name}:20", fault.value.capitalize())
        for fault in OF_ALL_CALLS
    )
    turns = forms.yes_no(
        "turns",
        "One a second is answered, as AWS has it",
        "All are answered",
        on=account.one_call_a_second,
    )
    return (
        f"<div>{now}</div><p>For the next five sends:</p>{buttons}"
        f"<p>For the next twenty calls of any kind:</p>{for_all}"
        f"<p>Calls that send nothing:</p>{turns}"
    )


def _mails(account: Account) -> str:
    if not account.mails:
        return "<p>None yet.</p>"
    rows = "".join(
        f"<li>{mail.taken_at:%H:%M:%S} UTC to {escape(', '.join(mail.recipients))}: "
        f"{escape(_subject(mail.raw))}</li>"
        for mail in reversed(account.mails[-NEWEST:])
    )
    return f"<p>{len(account.mails)} in all.</p><ol reversed>{rows}</ol>"


def _subject(raw: bytes) -> str:
    mail = message_from_bytes(raw, policy=policy.default)
    return cast(str, mail["Subject"] or "(no subject)")


def _calls(account: Account) -> str:
    if not account.calls:
        return "<p>Nothing yet.</p>"
    rows = "".join(
        f"<li>{call.at:%H:%M:%S} UTC "
        f"{escape(f'{call.action} in {call.region}') if call.action else 'somebody'}"
        f"{f': refused, {escape(call.refused)}' if call.refused else ''}</li>"
        for call in list(account.calls)[: -NEWEST - 1 : -1]
    )
    return f"<ul>{rows}</ul>"
