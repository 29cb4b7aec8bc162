"""What the console can change. Each change takes a text; nonsense changes nothing."""

from collections.abc import Callable
from datetime import timedelta

from email_settings.standin import presets
from email_settings.standin.account import Account, Identity, MailFrom, Region
from email_settings.standin.faults import OF_ALL_CALLS, Fault, Trouble
from email_settings.standin.presets import RIGHTS
from email_settings.standin.zone import BROKEN, Answer

Change = Callable[[Account, Region, str], None]
DMARC_POLICIES = ("none", "quarantine", "reject")


# All at once


def _begin(account: Account, region: Region, value: str) -> None:
    domain = account.domain
    if value == "new":
        presets.begin_new(account, domain)
    elif value == "ready":
        presets.begin_ready(account, domain)


# The account


def _set_quota(account: Account, region: Region, value: str) -> None:
    if value.isdecimal():
        region.max_24_hour_send = float(value)


def _set_rate(account: Account, region: Region, value: str) -> None:
    if value.isdecimal() and int(value):
        region.max_send_rate = float(value)


def _set_production(account: Account, region: Region, value: str) -> None:
    region.is_production = value == "yes"


def _set_review(account: Account, region: Region, value: str) -> None:
    if value in {"", "PENDING", "GRANTED", "DENIED", "FAILED"}:
        region.review.status = value
        region.review.case_id = "170000000000001" if value else ""
        region.is_production = region.is_production or value == "GRANTED"


def _set_enabled(account: Account, region: Region, value: str) -> None:
    region.is_enabled = value == "yes"


def _set_sending(account: Account, region: Region, value: str) -> None:
    region.is_sending_enabled = value == "yes"


def _set_enforcement(account: Account, region: Region, value: str) -> None:
    if value in {"HEALTHY", "PROBATION", "SHUTDOWN"}:
        region.enforcement = value


# Keys and the clock


def _set_keys_active(account: Account, region: Region, value: str) -> None:
    for key in account.keys.values():
        key.is_active = value == "yes"


def _set_rights(account: Account, region: Region, value: str) -> None:
    for key in account.keys.values():
        key.actions = RIGHTS.get(value, key.actions)


def _set_clock(account: Account, region: Region, value: str) -> None:
    sign, digits = (-1, value[1:]) if value.startswith("-") else (1, value)
    if digits.isdecimal() and len(digits) <= 4:  # a week of minutes
        account.clock_offset = timedelta(minutes=sign * int(digits))


# Senders


def _verify(account: Account, region: Region, value: str) -> None:
    if name := value.strip().lower():
        known = region.identities.setdefault(name, Identity(name))
        known.is_verified = True


def _forget(account: Account, region: Region, value: str) -> None:
    region.identities.pop(value, None)


def _move(account: Account, region: Region, value: str) -> None:
    """Let the sender be known in another region instead."""
    name, _, elsewhere = value.partition(">")
    if name in region.identities and elsewhere and elsewhere != region.name:
        account.region(elsewhere).identities[name] = region.identities.pop(name)


# DNS


def _publish(account: Account, region: Region, value: str) -> None:
    if value in region.identities:
        presets.publish_records(account, region, region.identities[value])


def _spoil_dkim(account: Account, region: Region, value: str) -> None:
    """Publish the records of a domain with the mistake that is named after a colon."""
    name, _, how = value.rpartition(":")
    if name not in region.identities:
        return
    for token in region.identities[name].tokens:
        right = f"{token}._domainkey.{name}"
        doubled = f"{right}.{name}"
        target = f"{token}.{region.dkim_zone}"
        for one in (right, doubled):
            account.zone.withdraw(one, "CNAME")
        if how == "wrong":
            account.zone.publish(right, "CNAME", f"{token}.dkim.example.net")
        elif how == "doubled":
            account.zone.publish(doubled, "CNAME", target)
    if how in {"missing", "wrong", "doubled"}:
        region.identities[name].is_verified = False


def _spoil_mail_from(account: Account, region: Region, value: str) -> None:
    name, _, how = value.rpartition(":")
    identity = region.identities.get(name)
    if identity is None or identity.mail_from is None:
        return
    domain = identity.mail_from.domain
    if how == "two":
        account.zone.publish(domain, "MX", f"20 mail.{name}")
    elif how == "missing":
        account.zone.withdraw(domain, "MX")
        account.zone.withdraw(domain, "TXT")


def _set_mail_from(account: Account, region: Region, value: str) -> None:
    if value in region.identities:
        domain = value.rpartition("@")[2]
        region.identities[value].mail_from = MailFrom(f"bounce.{domain}")


def _set_dmarc(account: Account, region: Region, value: str) -> None:
    name, _, how = value.rpartition(":")
    record = f"_dmarc.{name}"
    if not name or how not in {*DMARC_POLICIES, "missing", "two", "broken"}:
        return
    account.zone.withdraw(record, "TXT")
    if how in DMARC_POLICIES:
        account.zone.publish(record, "TXT", f"v=DMARC1; p={how}")
    elif how == "two":
        account.zone.publish(record, "TXT", "v=DMARC1; p=none")
        account.zone.publish(record, "TXT", "v=DMARC1; p=reject")
    elif how == "broken":
        account.zone.publish(record, "TXT", "v=DMARC1, policy=none")


def _set_looks(account: Account, region: Region, value: str) -> None:
    account.looks_at_dns = value == "yes"


def _break_dns(account: Account, region: Region, value: str) -> None:
    account.zone.broken.pop("", None)
    if value in Answer.__members__ and Answer[value] in BROKEN:
        account.zone.broken[""] = Answer[value]


# Events


def _connect(account: Account, region: Region, value: str) -> None:
    if value == "yes":
        presets.connect_events(account, region)


def _remove_set(account: Account, region: Region, value: str) -> None:
    region.sets.pop(value, None)


def _close_topic(account: Account, region: Region, value: str) -> None:
    if value in region.topics:
        region.topics[value].attributes.pop("Policy", None)


def _set_feed(account: Account, region: Region, value: str) -> None:
    feed = account.feed
    if value in {"doubled", "reversed", "stopped"}:
        name = f"is_{value}"
        setattr(feed, name, not getattr(feed, name))
    account.bring()


def _set_delay(account: Account, region: Region, value: str) -> None:
    if value.isdecimal() and len(value) <= 4:  # some hours
        account.feed.delay = timedelta(seconds=int(value))


def _unwilling(account: Account, how: str) -> set[str]:
    return {
        "bounce": account.bouncing,
        "complain": account.complaining,
        "full": account.full,
    }[how]


def _make(how: str) -> Change:
    def change(account: Account, region: Region, value: str) -> None:
        if "@" in value:
            _unwilling(account, how).add(value.strip().lower())

    return change


def _end(how: str) -> Change:
    def change(account: Account, region: Region, value: str) -> None:
        _unwilling(account, how).discard(value)

    return change


def _suppress(account: Account, region: Region, value: str) -> None:
    if "@" in value:
        region.suppressed[value.strip()] = ("BOUNCE", account.now())


def _end_suppression(account: Account, region: Region, value: str) -> None:
    region.suppressed.pop(value, None)


# On the way


def _make_trouble(account: Account, region: Region, value: str) -> None:
    name, _, times = value.partition(":")
    if name in Fault.__members__ and times.isdecimal():
        account.trouble = Trouble(Fault[name], int(times))


def _make_trouble_for_all(account: Account, region: Region, value: str) -> None:
    name, _, times = value.partition(":")
    if name in {fault.name for fault in OF_ALL_CALLS} and times.isdecimal():
        account.trouble = Trouble(Fault[name], int(times), meets_all=True)


def _end_trouble(account: Account, region: Region, value: str) -> None:
    account.trouble = None


def _set_turns(account: Account, region: Region, value: str) -> None:
    account.one_call_a_second = value == "yes"


CHANGES: dict[str, Change] = {
    "begin": _begin,
    "quota": _set_quota,
    "rate": _set_rate,
    "production": _set_production,
    "review": _set_review,
    "enabled": _set_enabled,
    "sending": _set_sending,
    "enforcement": _set_enforcement,
    "keys": _set_keys_active,
    "rights": _set_rights,
    "clock": _set_clock,
    "verify": _verify,
    "forget": _forget,
    "move": _move,
    "publish": _publish,
    "dkim": _spoil_dkim,
    "mail-from": _spoil_mail_from,
    "add-mail-from": _set_mail_from,
    "dmarc": _set_dmarc,
    "looks": _set_looks,
    "dns": _break_dns,
    "connect": _connect,
    "remove-set": _remove_set,
    "close-topic": _close_topic,
    "feed": _set_feed,
    "delay": _set_delay,
    "bounce": _make("bounce"),
    "end-bounce": _end("bounce"),
    "complain": _make("complain"),
    "end-complain": _end("complain"),
    "full": _make("full"),
    "end-full": _end("full"),
    "suppress": _suppress,
    "end-suppression": _end_suppression,
    "trouble": _make_trouble,
    "trouble-for-all": _make_trouble_for_all,
    "calm": _end_trouble,
    "turns": _set_turns,
}
