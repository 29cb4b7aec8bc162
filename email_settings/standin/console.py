"""A page to break the stand-in and to mend it again, for whoever walks the demo.

For the loopback address alone. It uses no JavaScript.
"""

from collections.abc import Callable, Mapping
from email import message_from_bytes, policy
from html import escape
from typing import cast
from urllib.parse import parse_qs, quote, urlsplit

from email_settings.standin.account import EVERYTHING, Account, Identity, Key, Region
from email_settings.standin.faults import Fault, Trouble
from email_settings.standin.protocol import Reply, Request

SENDING = frozenset({"ses:SendEmail", "ses:SendRawEmail"})
NEWEST = 20  # mails on the page
Change = Callable[[Account, Region, str], None]


def is_for_the_console(request: Request) -> bool:
    """Whether a browser asks: AWS is never asked without a signature."""
    return "authorization" not in request.headers and request.target.partition("?")[
        0
    ] in {"/", "/change"}


def answer(account: Account, request: Request) -> Reply:
    """Show the page, or change something and show it again."""
    host = request.headers.get("host", "")
    # Neither a page of somebody else's nor a name that was bent to this address.
    if host.partition(":")[0] not in {"127.0.0.1", "localhost"}:
        return Reply(403, b"For this machine alone.")
    query = _first(urlsplit(request.target).query)
    region = account.region(query.get("region") or _usual_region(account))
    if request.method == "GET":
        page = _page(account, region)
        return Reply(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})
    if request.headers.get("origin") != f"http://{host}":
        return Reply(403, b"Only this page itself may change something.")
    given = _first(request.body.decode())
    what, value = given.get("what", ""), given.get("value", "")
    if what in CHANGES:
        CHANGES[what](account, region, value)
    return Reply(303, b"", {"Location": f"/?region={quote(region.name)}"})


def _first(text: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


def _usual_region(account: Account) -> str:
    return next(iter(account.regions), "eu-west-1")


# What can be changed


def _set_quota(account: Account, region: Region, value: str) -> None:
    if value.isdecimal():
        region.max_24_hour_send = float(value)


def _set_rate(account: Account, region: Region, value: str) -> None:
    if value.isdecimal() and int(value):
        region.max_send_rate = float(value)


def _set_production(account: Account, region: Region, value: str) -> None:
    region.is_production = value == "yes"


def _set_enabled(account: Account, region: Region, value: str) -> None:
    region.is_enabled = value == "yes"


def _set_sending(account: Account, region: Region, value: str) -> None:
    region.is_sending_enabled = value == "yes"


def _set_enforcement(account: Account, region: Region, value: str) -> None:
    if value in {"HEALTHY", "PROBATION", "SHUTDOWN"}:
        region.enforcement = value


def _set_keys_active(account: Account, region: Region, value: str) -> None:
    for key in account.keys.values():
        key.is_active = value == "yes"


def _set_rights(account: Account, region: Region, value: str) -> None:
    rights = {"all": EVERYTHING, "send": SENDING, "none": frozenset[str]()}
    for key in account.keys.values():
        key.actions = rights.get(value, key.actions)


def _verify(account: Account, region: Region, value: str) -> None:
    if name := value.strip().lower():
        region.identities[name] = Identity(name)


def _forget(account: Account, region: Region, value: str) -> None:
    region.identities.pop(value, None)


def _make_trouble(account: Account, region: Region, value: str) -> None:
    name, _, times = value.partition(":")
    if name in Fault.__members__ and times.isdecimal():
        account.trouble = Trouble(Fault[name], int(times))


def _end_trouble(account: Account, region: Region, value: str) -> None:
    account.trouble = None


CHANGES: dict[str, Change] = {
    "quota": _set_quota,
    "rate": _set_rate,
    "production": _set_production,
    "enabled": _set_enabled,
    "sending": _set_sending,
    "enforcement": _set_enforcement,
    "keys": _set_keys_active,
    "rights": _set_rights,
    "verify": _verify,
    "forget": _forget,
    "trouble": _make_trouble,
    "calm": _end_trouble,
}


# The page


def _page(account: Account, region: Region) -> str:
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The stand-in for AWS</title>
<style>{_STYLE}</style>
<main>
<h1>The stand-in for AWS</h1>
<p>It plays AWS for this TicketFlow. Break something here, and look at what TicketFlow
makes of it; mend it, and mail leaves again. No mail leaves this machine.</p>
{_keys(account)}
<h2>Region {escape(region.name)}</h2>
<p>Others: {_other_regions(account, region)}</p>
{_switches(account, region)}
<h2>Verified senders in {escape(region.name)}</h2>
{_identities(region)}
<h2>Between TicketFlow and AWS</h2>
{_troubles(account, region)}
<h2>Mail that was taken</h2>
{_mails(account)}
</main>
</html>
"""


_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { background: Canvas; color: CanvasText; max-width: 50rem; margin: 0 auto; padding: 1rem }
form { display: inline-block; margin: 0 .5rem .25rem 0 }
dt { font-weight: 600; margin-top: .75rem } dd { margin: 0 }
button, input, select { font: inherit; padding: .25rem .75rem; min-height: 2.75rem }
button { color: ButtonText; background: Canvas; border: 1px solid GrayText }
button[aria-pressed=true] { font-weight: 700; outline: 2px solid }
code { overflow-wrap: anywhere } li { margin: .25rem 0 }
"""


def _button(region: Region, what: str, value: str, label: str, *, on: bool) -> str:
    return (
        f'<form method="post" action="/change?region={quote(region.name)}">'
        f'<input type="hidden" name="what" value="{escape(what)}">'
        f'<button name="value" value="{escape(value)}" aria-pressed="{str(on).lower()}">'
        f"{escape(label)}</button></form>"
    )


def _field(region: Region, what: str, value: str, label: str, button: str) -> str:
    return (
        f'<form method="post" action="/change?region={quote(region.name)}">'
        f'<input type="hidden" name="what" value="{escape(what)}">'
        f'<label>{escape(label)} <input name="value" value="{escape(value)}"></label> '
        f"<button>{escape(button)}</button></form>"
    )


def _keys(account: Account) -> str:
    pairs = "".join(
        f"<li>Key ID <code>{escape(key.access_key_id)}</code>, "
        f"secret <code>{escape(key.secret)}</code></li>"
        for key in account.keys.values()
    )
    return f"<p>Paste this into Email Settings:</p><ul>{pairs}</ul>"


def _other_regions(account: Account, region: Region) -> str:
    names = sorted({"eu-west-1", "us-east-1", *account.regions} - {region.name})
    return ", ".join(
        f'<a href="/?region={quote(name)}">{escape(name)}</a>' for name in names
    )


def _switches(account: Account, region: Region) -> str:
    key: Key | None = next(iter(account.keys.values()), None)
    is_active = key is not None and key.is_active
    rights = key.actions if key else frozenset()

    def button(what: str, value: str, label: str, *, on: bool) -> str:
        return _button(region, what, value, label, on=on)

    rows = [
        (
            "Access keys",
            button("keys", "yes", "Active", on=is_active)
            + button("keys", "no", "Inactive", on=not is_active),
        ),
        (
            "What the key may do",
            button("rights", "all", "Everything", on=rights == EVERYTHING)
            + button("rights", "send", "Send only", on=rights == SENDING)
            + button("rights", "none", "Nothing", on=not rights),
        ),
        (
            "Region",
            button("enabled", "yes", "Enabled", on=region.is_enabled)
            + button("enabled", "no", "Not enabled", on=not region.is_enabled),
        ),
        (
            "Account",
            button("production", "yes", "Production", on=region.is_production)
            + button("production", "no", "Sandbox", on=not region.is_production),
        ),
        (
            "Sending",
            button("sending", "yes", "On", on=region.is_sending_enabled)
            + button("sending", "no", "Switched off", on=not region.is_sending_enabled),
        ),
        (
            "AWS's opinion of the account",
            "".join(
                button(
                    "enforcement",
                    word,
                    word.capitalize(),
                    on=word == region.enforcement,
                )
                for word in ("HEALTHY", "PROBATION", "SHUTDOWN")
            ),
        ),
        (
            "Limits in production",
            _field(
                region, "rate", f"{region.max_send_rate:.0f}", "Mails a second", "Set"
            )
            + _field(
                region, "quota", f"{region.max_24_hour_send:.0f}", "Mails a day", "Set"
            ),
        ),
    ]
    return "<dl>" + "".join(f"<dt>{t}</dt><dd>{d}</dd>" for t, d in rows) + "</dl>"


def _identities(region: Region) -> str:
    rows = "".join(
        f"<li><code>{escape(name)}</code> "
        f"{_verified(region, identity)} "
        f"{_button(region, 'forget', name, 'Remove', on=False)}</li>"
        for name, identity in region.identities.items()
    )
    listed = f"<ul>{rows}</ul>" if rows else "<p>None.</p>"
    return listed + _field(region, "verify", "", "Address or domain", "Add as verified")


def _verified(region: Region, identity: Identity) -> str:
    if identity.is_verified:
        return "verified"
    button = _button(region, "verify", identity.name, "Verify", on=False)
    return f"not verified yet {button}"


def _troubles(account: Account, region: Region) -> str:
    left = account.trouble
    now = "All is calm."
    if left and left.times:
        calm = _button(region, "calm", "", "End it", on=False)
        now = f"The next {left.times} sends: {escape(left.fault.value)}. {calm}"
    buttons = "".join(
        _button(
            region, "trouble", f"{fault.name}:5", fault.value.capitalize(), on=False
        )
        for fault in Fault
    )
    return f"<div>{now}</div><p>For the next five sends:</p>{buttons}"


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
