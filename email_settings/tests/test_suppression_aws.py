"""AWS's own list: read whole or not at all, and addresses taken off as they are spelt."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from email_settings.models import (
    AwsRelease,
    AwsSuppression,
    SesSettings,
    Suppression,
    SuppressionSync,
)
from email_settings.standin.faults import Fault, Trouble
from email_settings.suppression import aws
from email_settings.suppression.exchange import NewEntry
from email_settings.suppression.wishes import suppress
from email_settings.tests.live_account import LiveAccount

pytestmark = pytest.mark.django_db
LIST, DELETE = "ses:ListSuppressedDestinations", "ses:DeleteSuppressedDestination"
Outcome = AwsRelease.Outcome
Reason = Suppression.Reason


def put(live: LiveAccount, *addresses: str, reason: str = "BOUNCE") -> None:
    for address in addresses:
        live.region.suppressed[address] = (reason, live.account.now())


def many(live: LiveAccount, count: int) -> None:
    put(live, *(f"Person{n}@larkfield.example" for n in range(count)))


def state() -> SuppressionSync:
    return SuppressionSync.objects.get()


def known() -> set[str]:
    return set(AwsSuppression.objects.values_list("address", flat=True))


def deny(live: LiveAccount, action: str) -> None:
    live.key.actions = frozenset({"ses:SendRawEmail", LIST, DELETE} - {action})


def test_whole_list_is_read_page_by_page(live: LiveAccount) -> None:
    many(live, 2_500)
    aws.look()
    assert AwsSuppression.objects.count() == state().count == 2_500
    assert live.asked(LIST) == 3
    assert state().problem is None
    assert state().running_until is None
    entry = AwsSuppression.objects.get(address="Person7@larkfield.example")
    assert (entry.address_lower, entry.reason) == (
        "person7@larkfield.example",
        "BOUNCE",
    )
    assert entry.listed_at


def test_it_is_read_once_a_day_and_when_it_is_wanted(live: LiveAccount) -> None:
    for _ in range(3):
        aws.look()
    assert live.asked(LIST) == 1
    aws.want_sync()
    aws.look()
    aws.look()
    assert live.asked(LIST) == 2
    SuppressionSync.objects.update(tried_at=timezone.now() - timedelta(hours=25))
    aws.look()
    assert live.asked(LIST) == 3


def test_what_is_gone_from_the_list_is_gone_here(live: LiveAccount) -> None:
    put(live, "a@larkfield.example", "B@larkfield.example", "b@larkfield.example")
    aws.look()
    del live.region.suppressed["a@larkfield.example"]
    aws.want_sync()
    aws.look()
    assert known() == {"B@larkfield.example", "b@larkfield.example"}


def test_refused_right_names_the_statement(live: LiveAccount) -> None:
    put(live, "a@larkfield.example")
    aws.look()
    deny(live, LIST)
    aws.want_sync()
    aws.look()
    problem = state().problem
    assert problem
    assert problem["code"] == "access_denied"
    assert LIST in problem["statement"]
    assert known() == {"a@larkfield.example"}
    assert state().synced_at
    aws.look()
    live.key.actions = frozenset({"*"})
    aws.want_sync()
    aws.look()
    assert state().problem is None


def test_throttled_it_is_tried_again_and_says_so(live: LiveAccount) -> None:
    put(live, "a@larkfield.example")
    live.account.trouble = Trouble(Fault.THROTTLES, 1, meets_all=True)
    aws.look()
    assert known() == {"a@larkfield.example"}
    live.account.trouble = Trouble(Fault.THROTTLES, 9, meets_all=True)
    aws.want_sync()
    aws.look()
    assert state().problem["code"] == "rate_exceeded"  # type: ignore[index]
    live.account.trouble = None
    asked = live.asked(LIST)
    aws.look()
    assert live.asked(LIST) == asked  # not in a storm
    SuppressionSync.objects.update(tried_at=timezone.now() - timedelta(hours=2))
    aws.look()
    assert state().problem is None


def test_half_a_reading_takes_nothing_away(
    live: LiveAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(live, 2_500)
    put(live, "old@larkfield.example")
    aws.look()
    del live.region.suppressed["old@larkfield.example"]
    keep = aws._keep
    pages = []

    def killed(*arguments: Any) -> None:
        pages.append(1)
        if len(pages) == 2:
            raise KeyboardInterrupt
        keep(*arguments)

    monkeypatch.setattr(aws, "_keep", killed)
    aws.want_sync()
    with pytest.raises(KeyboardInterrupt):
        aws.look()
    assert AwsSuppression.objects.count() == 2_501
    # Whoever comes next waits for the dead one's lease, and then reads all of it.
    monkeypatch.setattr(aws, "_keep", keep)
    aws.look()
    assert AwsSuppression.objects.count() == 2_501
    SuppressionSync.objects.update(running_until=timezone.now())
    aws.look()
    assert AwsSuppression.objects.count() == 2_500
    assert state().wanted_at is None


def test_two_workers_do_not_read_at_once(live: LiveAccount) -> None:
    aws.want_sync()
    SuppressionSync.objects.update(running_until=timezone.now() + timedelta(seconds=30))
    aws.look()
    aws.sync(SesSettings.load())
    assert live.asked(LIST) == 0


def test_another_region_has_another_list(live: LiveAccount) -> None:
    put(live, "a@larkfield.example")
    aws.look()
    SesSettings.objects.update(region="eu-central-1", version=99)
    aws.look()
    assert known() == set()
    assert state().place.endswith(":eu-central-1")


def test_nobody_is_asked_before_there_is_an_account(live: LiveAccount) -> None:
    SesSettings.objects.update(from_email="")
    aws.look()
    assert live.asked(LIST) == 0


# The difference


def test_take_over_puts_on_ours_what_only_aws_has(
    live: LiveAccount, admin: Any
) -> None:
    put(live, "Ida@larkfield.example", "ours@larkfield.example")
    put(live, "held@larkfield.example")
    suppress([NewEntry("OURS@larkfield.example", Reason.BY_HAND)], actor=admin)
    Suppression.objects.create(
        address="held@larkfield.example",
        address_lower="held@larkfield.example",
        reason=Reason.FAILING,
        held_until=timezone.now() + timedelta(days=1),
    )
    aws.look()
    assert set(aws.only_at_aws().values_list("address", flat=True)) == {
        "Ida@larkfield.example",
        "held@larkfield.example",
    }
    assert aws.take_over(actor=admin) == 2
    assert not aws.only_at_aws().exists()
    assert aws.take_over(actor=admin) == 0
    entries = Suppression.objects.filter(reason=Reason.AWS_LISTED)
    assert {entry.address for entry in entries} == {
        "Ida@larkfield.example",
        "held@larkfield.example",
    }


# Releasing


def wish() -> AwsRelease:
    return AwsRelease.objects.latest("pk")


def test_address_is_released_as_it_is_spelt_there(
    live: LiveAccount, admin: Any
) -> None:
    put(live, "Hannah.BROOKS@Larkfield.example", "hannah.brooks@larkfield.example")
    aws.look()
    aws.want_release("hannah.brooks@LARKFIELD.example", actor=admin)
    aws.look()
    assert live.region.suppressed == {}
    assert wish().outcome == Outcome.DONE
    assert wish().done_at
    assert known() == set()


def test_spelling_that_is_not_known_yet_is_looked_up(
    live: LiveAccount, admin: Any
) -> None:
    aws.look()
    put(live, "Hannah.BROOKS@larkfield.example")
    aws.want_release("hannah.brooks@larkfield.example", actor=admin)
    for _ in range(3):
        aws.look()
    assert live.region.suppressed == {}
    assert wish().outcome == Outcome.DONE


def test_address_that_is_not_there_is_fine(live: LiveAccount, admin: Any) -> None:
    aws.want_release("hannah@larkfield.example", actor=admin)
    for _ in range(3):
        aws.look()
    assert (wish().outcome, wish().problem) == (Outcome.NOT_LISTED, None)


def test_gone_meanwhile_is_fine(live: LiveAccount, admin: Any) -> None:
    put(live, "a@larkfield.example")
    aws.look()
    live.region.suppressed.clear()
    aws.want_release("a@larkfield.example", actor=admin)
    aws.look()
    assert wish().outcome == Outcome.DONE


def test_without_the_right_it_says_what_to_add(live: LiveAccount, admin: Any) -> None:
    put(live, "a@larkfield.example")
    aws.look()
    deny(live, DELETE)
    aws.want_release("a@larkfield.example", actor=admin)
    aws.look()
    assert wish().outcome == Outcome.FAILED
    assert DELETE in wish().problem["statement"]  # type: ignore[index]
    assert "a@larkfield.example" in live.region.suppressed
    assert known() == {"a@larkfield.example"}
    live.key.actions = frozenset({"*"})
    aws.want_release("a@larkfield.example", actor=admin)
    aws.look()
    assert wish().outcome == Outcome.DONE


def test_what_passes_is_tried_again(live: LiveAccount, admin: Any) -> None:
    put(live, "a@larkfield.example")
    aws.look()
    aws.want_release("a@larkfield.example", actor=admin)
    live.account.trouble = Trouble(Fault.THROTTLES, 9, meets_all=True)
    aws.look()
    assert (wish().outcome, wish().done_at) == ("", None)
    assert wish().problem
    live.account.trouble = None
    AwsRelease.objects.update(next_at=timezone.now())
    aws.look()
    assert wish().outcome == Outcome.DONE


def test_wished_twice_is_asked_once(live: LiveAccount, admin: Any) -> None:
    put(live, "a@larkfield.example")
    aws.look()
    for _ in range(2):
        aws.want_release("A@larkfield.example", actor=admin)
    aws.look()
    assert live.asked(DELETE) == AwsRelease.objects.count() == 1
