"""The live checklist in a browser: it follows the worker, and axe finds nothing in it."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from email_settings.models import (
    Brand,
    ReadinessLine,
    SesSettings,
    WorkerHeartbeat,
)
from email_settings.readiness import run
from email_settings.readiness.finding import State
from email_settings.standin.presets import SENDING
from email_settings.tests.builders import make_settings
from email_settings.tests.live_account import DOMAIN, LiveAccount, live_account
from ticketflow.tests.browser.conftest import Axe, SignIn
from ticketflow.tests.browser.test_axe import find

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def live(
    transactional_db: None,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    brand: Brand,
) -> Iterator[LiveAccount]:
    make_settings()
    WorkerHeartbeat.objects.create(name="worker-1", task_at=timezone.now())
    with live_account(settings, monkeypatch) as account:
        yield account


def nothing_saved(live: LiveAccount) -> None:
    SesSettings.objects.all().delete()


def all_checking(live: LiveAccount) -> None:
    run.want_all()
    ReadinessLine.objects.filter(key="clock").update(
        running_until=timezone.now() + timedelta(minutes=1)
    )


def all_green(live: LiveAccount) -> None:
    run.want_all()
    run.run()
    ReadinessLine.objects.filter(key__in=["permission", "events", "simulator"]).update(
        state=State.DONE, said="Fine", evidence="As it should be.", fix="", actions=[]
    )


def several_wrong(live: LiveAccount) -> None:
    live.region.is_production = False
    live.domain.is_verified = False
    token = f"{live.domain.tokens[0]}._domainkey.{DOMAIN}"
    live.zone.withdraw(token, "CNAME")
    live.zone.put(f"{token}.{DOMAIN}", "CNAME", "x.dkim.amazonses.com")
    live.zone.withdraw(f"mail.{DOMAIN}", "MX")
    live.zone.withdraw(f"_dmarc.{DOMAIN}", "TXT")
    live.account.clock_offset = timedelta(seconds=150)
    run.want_all()
    run.run()


def rights_missing(live: LiveAccount) -> None:
    live.key.actions = SENDING
    run.want_all()
    run.run()


STATES = [nothing_saved, all_checking, all_green, several_wrong, rights_missing]


@pytest.mark.parametrize("prepare", STATES)
def test_checklist_is_accessible(
    live: LiveAccount,
    live_server: LiveServer,
    sign_in: SignIn,
    admin: User,
    axe: Axe,
    prepare: Callable[[LiveAccount], None],
) -> None:
    prepare(live)
    page = sign_in(admin)
    page.goto(live_server.url + reverse("email_settings:settings"))
    page.evaluate(
        "document.querySelectorAll('#checklist details').forEach(d => d.open = true)"
    )
    assert find(page, axe) == []


def test_page_follows_the_worker_and_says_once_what_came_of_it(
    live: LiveAccount, live_server: LiveServer, sign_in: SignIn, admin: User
) -> None:
    page = sign_in(admin)
    page.goto(live_server.url + reverse("email_settings:settings"))
    run.run()  # what the first look at the page made wanted
    page.reload()
    page.get_by_role("button", name="Check now").click()
    said = page.locator("#checklist-said")
    expect(page.locator("#line-dkim")).to_contain_text("Waiting for its turn")
    expect(said).to_have_text("")
    live.zone.withdraw(f"_dmarc.{DOMAIN}", "TXT")
    run.run()
    expect(page.locator("#line-dmarc .state")).to_have_text("Missing")
    expect(page.locator("#line-dkim")).to_contain_text("Checked")
    expect(said).to_contain_text("Checked: 9 of 13 done.")
    live.publish()
    page.get_by_role("button", name="Re-check DMARC").click()
    expect(page.locator("#line-dmarc")).to_contain_text("Waiting for its turn")
    expect(page.locator("#recheck-dmarc")).to_be_focused()
    run.run()
    expect(page.locator("#line-dmarc .state")).to_have_text("p=none")
    expect(page.locator("#recheck-dmarc")).to_be_focused()


def test_open_statement_stays_open_while_nothing_changes(
    live: LiveAccount, live_server: LiveServer, sign_in: SignIn, admin: User
) -> None:
    rights_missing(live)
    page: Page = sign_in(admin)
    page.goto(live_server.url + reverse("email_settings:settings"))
    run.run()
    page.reload()
    page.locator("#line-account summary").first.click()
    with page.expect_response(lambda reply: "/checklist/" in reply.url) as asked:
        page.evaluate(
            "htmx.ajax('GET', document.getElementById('checklist')"
            ".getAttribute('hx-get'), '#checklist')"
        )
    assert asked.value.status == 204
    expect(page.locator("#account-statement")).to_be_visible()


def test_small_screens_show_the_checklist_first_when_something_is_wrong(
    live: LiveAccount, live_server: LiveServer, sign_in: SignIn, admin: User
) -> None:
    url = live_server.url + reverse("email_settings:settings")
    page = sign_in(admin)
    page.set_viewport_size({"width": 390, "height": 844})

    def checklist_is_first() -> bool:
        page.goto(url)
        return bool(
            page.evaluate(
                "document.getElementById('checklist').getBoundingClientRect().top <"
                "document.getElementById('id_region').getBoundingClientRect().top"
            )
        )

    all_green(live)
    assert not checklist_is_first()
    several_wrong(live)
    assert checklist_is_first()
