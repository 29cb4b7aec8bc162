"""Looking at the lines in turn: who may, when, how often, and what comes of a kill."""

import dataclasses
import itertools
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from email_settings import nudge, watch
from email_settings.delivery import pump
from email_settings.gateway import turns
from email_settings.gateway.reader import Reader
from email_settings.models import OutboxMessage, ReadinessLine, SesSettings
from email_settings.readiness import lines, run
from email_settings.readiness.finding import Finding, State
from email_settings.readiness.look import Look
from email_settings.standin.presets import SENDING
from email_settings.standin.zone import Answer
from email_settings.tests.builders import make_message
from email_settings.tests.live_account import DOMAIN, HERE, LiveAccount

pytestmark = pytest.mark.django_db

FINE = Finding(State.DONE, "Fine", "All is well.")
SES_READS = {"ses:GetAccount", "ses:GetEmailIdentity"}


def states() -> dict[str, str]:
    return dict(ReadinessLine.objects.values_list("key", "state"))


def line(key: str) -> ReadinessLine:
    return ReadinessLine.objects.get(key=key)


def look_at_all() -> int:
    run.want_all()
    return run.run()


def use(monkeypatch: pytest.MonkeyPatch, **checks: Callable[[Look], Finding]) -> None:
    """Let these lines be looked at in another way."""
    changed = [
        dataclasses.replace(each, check=checks.get(each.key, each.check))
        for each in lines.LINES
    ]
    monkeypatch.setattr(run, "LINES", tuple(changed))
    monkeypatch.setattr(run, "BY_KEY", {each.key: each for each in changed})


# A whole run


def test_everything_is_done_where_everything_is_set_up(live: LiveAccount) -> None:
    assert look_at_all() == 13
    assert states() == {
        **{each.key: State.DONE for each in lines.LINES},
        "permission": State.TODO,
        "events": State.TODO,
        "simulator": State.UNKNOWN,
    }
    assert not ReadinessLine.objects.filter(wanted_at__isnull=False).exists()
    assert not ReadinessLine.objects.filter(running_until__isnull=False).exists()
    assert line("dkim").records[0]["kind"] == "CNAME"


def test_the_same_question_is_asked_once_a_run(live: LiveAccount) -> None:
    look_at_all()
    assert live.asked("sts:GetCallerIdentity") == 1
    assert live.asked("ses:GetAccount") == 1
    # the address, which is not known by itself, and its domain
    assert live.asked("ses:GetEmailIdentity") == 2


def test_one_question_a_second(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "APART", timedelta(seconds=1))
    live.account.one_call_a_second = True
    look_at_all()
    asked = [call for call in live.account.calls if call.action in SES_READS]
    assert [call.refused for call in asked] == ["", "NotFoundException", ""]
    gaps = [
        (after.at - before.at).total_seconds()
        for before, after in itertools.pairwise(asked)
    ]
    assert min(gaps) >= 1.0
    assert states()["dkim"] == State.DONE


def test_question_that_came_too_fast_is_asked_once_more(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(SesSettings.load())
    reader.caller()
    monkeypatch.setattr(turns, "APART", timedelta(seconds=2.5))
    # Somebody else, who takes no turns with us, asks the same account just now.
    live.account.one_call_a_second = True
    live.region.last_turn = live.account.now() + timedelta(seconds=1)
    assert reader.account()["ProductionAccessEnabled"]
    assert [call.refused for call in live.account.calls] == [
        "",
        "TooManyRequestsException",
        "",
    ]


def test_missing_right_degrades_one_line(live: LiveAccount) -> None:
    live.key.actions = SENDING | {"ses:GetEmailIdentity"}
    look_at_all()
    assert states() == {
        **{each.key: State.DONE for each in lines.LINES},
        "account": State.UNKNOWN,
        "quota": State.UNKNOWN,
        "permission": State.TODO,
        "events": State.TODO,
        "simulator": State.UNKNOWN,
    }
    assert '"ses:GetAccount"' in line("account").statement


def test_nobody_is_asked_for_what_waits_for_another_line(live: LiveAccount) -> None:
    live.key.is_active = False
    look_at_all()
    assert line("credentials").state == State.WRONG
    assert line("region").evidence == "Waits for “Credentials”."
    assert line("sender").evidence == "Waits for “Region”."
    assert live.asked("ses:GetAccount") == 0
    # DNS needs no key.
    assert line("dmarc").state == State.DONE


def test_line_is_looked_at_when_what_it_waited_for_is_done(live: LiveAccount) -> None:
    live.key.is_active = False
    look_at_all()
    live.key.is_active = True
    run.want("credentials")
    run.run()
    assert line("region").state == State.DONE
    assert line("dkim").state == State.DONE


def test_aws_and_dns_out_of_reach_change_nothing_but_what_is_known(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("email_settings.readiness.dns.LIFETIME_SECONDS", 0.3)
    SesSettings.objects.update(is_sandbox=False, max_send_rate=14)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    live.zone.broken[""] = Answer.SILENCE
    assert look_at_all() == 13
    assert set(states().values()) == {State.UNKNOWN, State.DONE}
    assert {key for key, state in states().items() if state == State.DONE} == {
        "key_format"
    }
    row = SesSettings.load()
    assert (row.is_sandbox, row.max_send_rate) == (False, 14)


def test_line_that_fails_is_no_reason_to_leave_out_the_others(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(look: Look) -> Finding:
        raise ZeroDivisionError

    use(monkeypatch, region=fail)
    assert look_at_all() == 13
    assert (line("region").state, line("region").said) == (State.UNKNOWN, "Failed")
    assert line("dmarc").state == State.DONE


def test_nothing_is_asked_before_anything_is_saved(live: LiveAccount) -> None:
    SesSettings.objects.update(access_key_id="")
    run.want_what_is_due()
    assert not ReadinessLine.objects.exists()
    look_at_all()
    assert set(states().values()) == {State.UNKNOWN}
    assert not live.account.calls


# What delivery learns


@pytest.mark.django_db(transaction=True)
def test_mail_leaves_on_the_day_that_production_access_is_seen(
    live: LiveAccount,
) -> None:
    live.region.is_production = False
    SesSettings.objects.update(is_sandbox=True)
    message = make_message(recipient="somebody@elsewhere.example")
    pump.drain()
    message.refresh_from_db()
    assert (message.state, message.reason_code) == (
        OutboxMessage.State.HELD,
        "recipient_not_verified",
    )
    look_at_all()
    assert line("account").said == "Sandbox"
    message.refresh_from_db()
    assert message.state == OutboxMessage.State.HELD
    live.region.is_production = True
    look_at_all()
    assert line("account").said == "Production"
    assert SesSettings.load().is_sandbox is False
    pump.drain()
    message.refresh_from_db()
    assert message.state == OutboxMessage.State.SENT
    assert [mail.recipients for mail in live.account.mails] == [
        ("somebody@elsewhere.example",)
    ]


def test_mail_is_tried_when_the_sender_is_seen_verified(live: LiveAccount) -> None:
    later = timezone.now() + timedelta(hours=1)
    SesSettings.objects.update(hold_code="from_not_verified", probe_at=later)
    run.want("sender", "region", "credentials", "key_format")
    run.run()
    probe_at = SesSettings.load().probe_at
    assert probe_at
    assert probe_at <= timezone.now()


def test_what_aws_says_reaches_delivery_from_the_account_line_alone(
    live: LiveAccount,
) -> None:
    live.region.max_send_rate = 33
    look_at_all()
    row = SesSettings.load()
    assert row.max_send_rate == 33
    assert row.is_from_verified is True
    assert row.account_id
    assert row.checked_at


# Settings that change meanwhile


def test_what_was_found_with_settings_of_before_is_thrown_away(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions: list[int] = []

    def change_once(look: Look) -> Finding:
        versions.append(look.sender.version)
        if len(versions) == 1:
            SesSettings.objects.update(version=look.sender.version + 1)
            return Finding(State.WRONG, "Of before", "Found with the old settings.")
        return FINE

    use(monkeypatch, clock=change_once)
    run.want("clock")
    run.run()
    assert len(versions) == 2
    assert versions[1] == versions[0] + 1
    assert line("clock").said == "Fine"
    assert line("clock").settings_version == versions[1]


def test_account_is_not_learned_with_settings_of_before(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Reader.account

    def slowly(reader: Reader) -> object:
        answer = account(reader)
        SesSettings.objects.filter(version=reader.version).update(
            version=reader.version + 1, region="eu-central-1", max_send_rate=5
        )
        return answer

    run.want("key_format", "credentials", "region")
    run.run()
    monkeypatch.setattr(Reader, "account", slowly)
    run.want("account")
    row = SesSettings.load()
    look = Look(row, Reader(row), None, {})  # type: ignore[arg-type]
    lines.BY_KEY["account"].check(look)
    assert SesSettings.load().max_send_rate == 5


def test_re_check_while_the_line_is_looked_at_looks_once_more(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def ask(look: Look) -> Finding:
        nonlocal count
        count += 1
        look.aws.account()
        if count == 1:
            # An admin has mended something and presses Re-check in this moment.
            run.want("clock")
        return FINE

    use(monkeypatch, clock=ask)
    run.want("clock")
    run.run()
    # Asked anew: the first answer was older than the wish.
    assert (count, live.asked("ses:GetAccount")) == (2, 2)
    assert line("clock").wanted_at is None


# One worker at a time


def test_worker_that_was_killed_loses_its_line_after_a_minute(
    live: LiveAccount,
) -> None:
    run.want("clock", "dmarc")
    killed = run._next(None)
    assert killed
    assert killed.line.key == "clock"
    assert run.run() == 0
    assert not run.is_something_to_do()
    lease = line("clock").running_until
    assert lease
    assert timedelta(seconds=50) < lease - timezone.now() <= timedelta(minutes=1)
    ReadinessLine.objects.filter(key="clock").update(running_until=timezone.now())
    assert run.is_something_to_do()
    assert run.run() == 2
    assert line("clock").state == State.DONE
    # It was only very slow: what it brings home now is not written any more.
    assert run._next(killed, Finding(State.WRONG, "Late", "")) is None
    assert line("clock").said == "Right"


def test_worker_that_stops_ends_between_two_lines(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(look: Look) -> Finding:
        pump.stopping.set()
        return FINE

    use(monkeypatch, clock=stop)
    run.want("clock", "dmarc")
    try:
        assert run.run() == 1
    finally:
        pump.stopping.clear()
    assert line("clock").said == "Fine"
    assert line("dmarc").wanted_at
    assert run.is_something_to_do()


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_ask_nothing_twice(live: LiveAccount) -> None:
    run.want_all()
    counts: list[int] = []

    def work() -> None:
        counts.append(run.run())
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # One of them was at it; the others went away, or took over between two lines.
    assert sum(counts) == 13
    assert live.asked("ses:GetAccount") + live.asked("ses:GetEmailIdentity") <= 3 * len(
        [count for count in counts if count]
    )
    assert line("dkim").state == State.DONE


@pytest.mark.django_db(transaction=True)
def test_readers_at_once_take_turns(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "APART", timedelta(seconds=1))
    live.account.one_call_a_second = True

    def ask() -> None:
        Reader(SesSettings.load()).account()
        connection.close()

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert [call.refused for call in live.account.calls] == ["", "", ""]
    times = [call.at for call in live.account.calls]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) >= timedelta(seconds=1)


def test_regions_do_not_wait_for_each_other(live: LiveAccount) -> None:
    with turns.turn("1:ses:eu-west-1") as first, turns.turn("1:ses:eu-west-2") as other:
        assert (first, other) == (True, True)


def test_turn_that_does_not_come_is_given_up(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(turns, "APART", timedelta(minutes=1))
    with turns.turn("1") as is_ours:
        assert is_ours
    with turns.turn("1") as is_ours:
        assert not is_ours
    stopping = threading.Event()
    stopping.set()
    with turns.turn("2", stopping) as is_ours:
        assert not is_ours
    # The line says so, and that it is nobody's fault.
    assert live.look("account").state == State.DONE
    found = live.look("quota")
    assert (found.state, found.said) == (State.UNKNOWN, "No answer")


def test_turn_of_a_process_that_died_in_it_comes_free(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LONGEST_QUESTION", timedelta(seconds=0.3))
    clock = turns._clock("1")
    assert turns._wait(clock, threading.Event())
    with turns.turn("1") as is_ours:
        assert is_ours


# Waking the worker


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(nudge, "nudge_checks", lambda: told.append("checks"))
    return told


def test_watch_wakes_the_worker_when_somebody_wants_a_line(
    live: LiveAccount, nudges: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = watch._Look()
    has_committed = True
    monkeypatch.setattr(look, "_has_anybody_committed", lambda: has_committed)
    monkeypatch.setattr(look, "_is_time_for_checks", lambda: False)
    look.look_when_it_is_time()
    assert nudges == []  # nothing is wanted
    run.want("clock")
    has_committed = False
    look.look_when_it_is_time()
    assert nudges == []  # nobody has committed: it is not even asked
    has_committed = True
    look.look_when_it_is_time()
    assert nudges == ["checks"]
    run.run()
    look.look_when_it_is_time()
    assert nudges == ["checks"]


def test_watch_leaves_it_to_redis_where_there_is_one(
    live: LiveAccount,
    nudges: list[str],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    run.want("clock")
    look = watch._Look()
    monkeypatch.setattr(look, "_has_anybody_committed", lambda: True)
    look.look_when_it_is_time()
    assert nudges == []


# When a line is wanted


HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("key", "state", "age", "is_looked_at", "is_wanted"),
    [
        ("clock", State.DONE, DAY - MINUTE, False, False),
        ("clock", State.DONE, DAY, False, True),
        ("clock", State.DONE, HOUR, True, False),
        ("mail_from", State.UNNEEDED, DAY - MINUTE, True, False),
        ("dkim", State.TODO, HOUR - MINUTE, False, False),
        ("dkim", State.TODO, HOUR, False, True),
        ("dkim", State.WRONG, 9 * MINUTE, True, False),
        ("dkim", State.WRONG, 10 * MINUTE, True, True),
        ("dkim", State.UNKNOWN, 10 * MINUTE, True, True),
        # What asks nobody costs nothing.
        ("permission", State.TODO, timedelta(seconds=6), True, True),
        ("permission", State.TODO, timedelta(seconds=6), False, False),
    ],
)
def test_when_a_line_is_looked_at_again(
    live: LiveAccount,
    key: str,
    state: State,
    age: timedelta,
    is_looked_at: bool,  # noqa: FBT001
    is_wanted: bool,  # noqa: FBT001
) -> None:
    look_at_all()
    ReadinessLine.objects.filter(key=key).update(
        state=state, checked_at=timezone.now() - age
    )
    run.want_what_is_due(is_looked_at=is_looked_at, is_opened=is_looked_at)
    assert bool(line(key).wanted_at) is is_wanted


def test_other_settings_want_all_lines(live: LiveAccount) -> None:
    look_at_all()
    SesSettings.objects.update(version=99)
    run.want_what_is_due()
    assert ReadinessLine.objects.filter(wanted_at__isnull=False).count() == 13


def test_wish_of_a_transaction_that_is_rolled_back_is_none(live: LiveAccount) -> None:
    with pytest.raises(KeyError):
        run.want("nothing")
    assert not ReadinessLine.objects.exists()


def test_it_is_told_since_when_a_line_stands_so(live: LiveAccount) -> None:
    look_at_all()
    long_ago = timezone.now() - 3 * DAY
    ReadinessLine.objects.update(since=long_ago)
    run.want("dkim", "dmarc")
    live.zone.withdraw(f"_dmarc.{DOMAIN}", "TXT")
    run.run()
    assert line("dkim").since == long_ago
    since = line("dmarc").since
    assert since
    assert since > timezone.now() - MINUTE


def test_settings_name_the_region(live: LiveAccount) -> None:
    assert Reader(SesSettings.load()).region == HERE
