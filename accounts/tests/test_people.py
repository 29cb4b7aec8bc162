"""Roles, deactivation and what admins see of it."""

import threading
from collections.abc import Callable

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from accounts import services
from accounts.errors import LastAdminError, OwnAccountError
from accounts.models import AuditEntry, Role, User
from accounts.tests.builders import invite

PEOPLE = "/admin-panel/users/"


@pytest.fixture
def admin_client(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


@pytest.fixture
def second_admin(db: None) -> User:
    return User.objects.create_user(
        "tomas@larkfield.example", name="Tomás Herrera", role=Role.ADMIN
    )


def test_a_new_role_counts_at_once_and_ends_the_sessions(
    admin: User, requester: User
) -> None:
    theirs = Client()
    theirs.force_login(requester)

    services.change_role(actor=admin, user_id=requester.pk, role=Role.AGENT)

    requester.refresh_from_db()
    assert requester.role == Role.AGENT
    assert theirs.get("/profile/").status_code == 302


def test_a_role_is_changed_on_the_persons_page(
    admin_client: Client, requester: User
) -> None:
    response = admin_client.post(
        f"{PEOPLE}{requester.pk}/role/", {"role": "admin"}, follow=True
    )

    requester.refresh_from_db()
    assert requester.role == Role.ADMIN
    assert "Hannah Brooks is now an admin." in response.content.decode()


def test_a_role_that_does_not_exist_is_refused(
    admin_client: Client, requester: User
) -> None:
    response = admin_client.post(f"{PEOPLE}{requester.pk}/role/", {"role": "owner"})

    requester.refresh_from_db()
    assert response.status_code == 400
    assert requester.role == Role.REQUESTER


def test_the_last_admin_keeps_the_role(admin_client: Client, admin: User) -> None:
    response = admin_client.post(
        f"{PEOPLE}{admin.pk}/role/", {"role": "agent"}, follow=True
    )

    admin.refresh_from_db()
    assert admin.role == Role.ADMIN
    assert "is the only admin" in response.content.decode()
    assert not AuditEntry.objects.exists()


def test_a_deactivated_admin_does_not_count(admin: User, second_admin: User) -> None:
    services.deactivate_user(actor=admin, user_id=second_admin.pk)

    with pytest.raises(LastAdminError):
        services.change_role(actor=admin, user_id=admin.pk, role=Role.AGENT)


def test_one_of_two_admins_may_step_down(admin: User, second_admin: User) -> None:
    services.change_role(actor=admin, user_id=admin.pk, role=Role.AGENT)

    admin.refresh_from_db()
    assert admin.role == Role.AGENT


def test_the_same_role_again_changes_nothing(admin: User, agent: User) -> None:
    services.change_role(actor=admin, user_id=agent.pk, role=Role.AGENT)

    assert not AuditEntry.objects.exists()


def test_deactivation_ends_sessions_at_once_and_for_good(
    admin: User, requester: User
) -> None:
    theirs = Client()
    theirs.force_login(requester)

    services.deactivate_user(actor=admin, user_id=requester.pk)
    assert theirs.get("/profile/").status_code == 302

    services.reactivate_user(actor=admin, user_id=requester.pk)
    assert theirs.get("/profile/").status_code == 302
    assert theirs.login(email=requester.email, password="correct horse battery")


def test_deactivating_is_explained_and_done_on_the_persons_page(
    admin_client: Client, agent: User
) -> None:
    page = admin_client.get(f"{PEOPLE}{agent.pk}/").content.decode()
    assert "stay assigned" in page

    response = admin_client.post(f"{PEOPLE}{agent.pk}/deactivate/", follow=True)

    agent.refresh_from_db()
    assert not agent.is_active
    assert "signed out everywhere" in response.content.decode()
    assert f"Reactivate {agent}" in response.content.decode()

    admin_client.post(f"{PEOPLE}{agent.pk}/reactivate/")
    agent.refresh_from_db()
    assert agent.is_active


def test_nobody_deactivates_themselves(
    admin_client: Client, admin: User, second_admin: User
) -> None:
    with pytest.raises(OwnAccountError):
        services.deactivate_user(actor=admin, user_id=admin.pk)

    page = admin_client.post(f"{PEOPLE}{admin.pk}/deactivate/", follow=True)
    admin.refresh_from_db()
    assert admin.is_active
    assert "You cannot deactivate yourself" in page.content.decode()


@pytest.mark.parametrize("who", ["requester", "agent"])
@pytest.mark.parametrize(
    "change",
    [
        lambda actor, person: services.change_role(
            actor=actor, user_id=person.pk, role=Role.ADMIN
        ),
        lambda actor, person: services.deactivate_user(actor=actor, user_id=person.pk),
        lambda actor, person: services.reactivate_user(actor=actor, user_id=person.pk),
    ],
)
def test_only_admins_change_people(
    who: str,
    outsider: User,
    request: pytest.FixtureRequest,
    change: Callable[[User, User], User],
) -> None:
    before = list(User.objects.filter(pk=outsider.pk).values())

    with pytest.raises(PermissionDenied):
        change(request.getfixturevalue(who), outsider)

    assert list(User.objects.filter(pk=outsider.pk).values()) == before


def test_an_admin_who_was_deactivated_changes_nobody(
    admin: User, second_admin: User, outsider: User
) -> None:
    services.deactivate_user(actor=admin, user_id=second_admin.pk)
    second_admin.refresh_from_db()

    with pytest.raises(PermissionDenied):
        services.deactivate_user(actor=second_admin, user_id=outsider.pk)


@pytest.mark.parametrize("path", ["", "role/", "deactivate/", "reactivate/"])
def test_an_unknown_person_is_not_found(admin_client: Client, path: str) -> None:
    method = admin_client.post if path else admin_client.get

    assert method(f"{PEOPLE}99999/{path}", {"role": "agent"}).status_code == 404


@pytest.mark.parametrize("path", ["role/", "deactivate/", "reactivate/"])
@pytest.mark.parametrize("number", [0, 2**63, 10**30])
def test_a_number_that_no_person_has_is_not_found(
    admin_client: Client, number: int, path: str
) -> None:
    response = admin_client.post(f"{PEOPLE}{number}/{path}", {"role": "agent"})

    assert response.status_code == 404


def test_an_unknown_person_cannot_be_managed(admin: User) -> None:
    with pytest.raises(Http404):
        services.deactivate_user(actor=admin, user_id=99999)


@pytest.mark.parametrize("deed", ["role", "deactivate", "reactivate"])
def test_changes_need_a_post(admin_client: Client, agent: User, deed: str) -> None:
    assert admin_client.get(f"{PEOPLE}{agent.pk}/{deed}/").status_code == 405


def test_every_change_is_in_the_history(
    admin_client: Client, admin: User, requester: User
) -> None:
    services.change_role(actor=admin, user_id=requester.pk, role=Role.AGENT)
    services.deactivate_user(actor=admin, user_id=requester.pk)
    services.reactivate_user(actor=admin, user_id=requester.pk)

    told = [f"{entry.action} {entry.details}" for entry in services.recent_audit()]
    assert told == [
        "reactivated ",
        "deactivated ",
        "changed the role of from Requester to Agent",
    ]
    page = admin_client.get(f"{PEOPLE}{requester.pk}/").content.decode()
    assert "from Requester to Agent" in page


def test_the_list_filters_by_role_state_and_text(
    admin_client: Client, admin: User, agent: User, requester: User, outsider: User
) -> None:
    services.deactivate_user(actor=admin, user_id=outsider.pk)

    def shown(query: str) -> set[str]:
        rows = admin_client.get(f"{PEOPLE}?{query}").context["people"].page.rows
        return {person.get_short_name() for person in rows}

    assert shown("") == {"Ewa", "Maya", "Hannah", "Oliver"}
    assert shown("show=admins") == {"Ewa"}
    assert shown("show=agents") == {"Maya"}
    assert shown("show=requesters") == {"Hannah", "Oliver"}
    assert shown("show=deactivated") == {"Oliver"}
    assert shown("q=OKAF") == {"Maya"}
    assert shown("q=oliver@") == {"Oliver"}
    assert shown("q=%25") == set()
    assert shown("q=may%00a") == {"Maya"}
    assert shown("q=zzz&show=agents") == set()
    assert shown("show=nonsense&page=nonsense") == {"Ewa", "Maya", "Hannah", "Oliver"}


def test_the_tabs_count(
    admin_client: Client, admin: User, requester: User, outsider: User
) -> None:
    services.deactivate_user(actor=admin, user_id=outsider.pk)

    tabs = admin_client.get(PEOPLE).context["people"].tabs

    assert [(tab.label, tab.count) for tab in tabs] == [
        ("Everyone", 3),
        ("Admins", 1),
        ("Agents", 0),
        ("Requesters", 2),
        ("Deactivated", 1),
    ]


def test_long_lists_come_in_pages_that_keep_the_filter(
    admin_client: Client,
) -> None:
    User.objects.bulk_create(
        User(email=f"p{n:03}@x.example", name=f"Person {n:03}") for n in range(120)
    )
    seen: list[str] = []
    url = f"{PEOPLE}?show=requesters&q=person"
    while url:
        people = admin_client.get(url).context["people"]
        seen += [person.name for person in people.page.rows]
        url = people.next_url

    assert seen == [f"Person {n:03}" for n in range(120)]


def test_the_list_costs_the_same_however_long_it_is(
    admin_client: Client, admin: User
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert admin_client.get(PEOPLE).status_code == 200
        return len(queries)

    invite(admin, "first@x.example")
    first = cost()
    for number in range(15):
        User.objects.create_user(f"p{number}@x.example", name=f"Person {number}")
        invite(admin, f"i{number}@x.example")

    assert cost() == first
    assert first <= 12


def test_the_persons_page_costs_the_same_whatever_happened(
    admin_client: Client, admin: User, agent: User
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(f"{PEOPLE}{agent.pk}/")
        return len(queries)

    services.deactivate_user(actor=admin, user_id=agent.pk)
    first = cost()
    for _ in range(5):
        services.reactivate_user(actor=admin, user_id=agent.pk)
        services.deactivate_user(actor=admin, user_id=agent.pk)

    assert cost() == first


@pytest.mark.parametrize("url", [PEOPLE, f"{PEOPLE}invite/"])
@pytest.mark.parametrize("who", ["requester", "agent"])
def test_only_admins_see_the_pages(
    client: Client, url: str, who: str, request: pytest.FixtureRequest
) -> None:
    client.force_login(request.getfixturevalue(who))

    assert client.get(url).status_code == 403


def test_a_name_is_shown_as_text_never_as_markup(admin_client: Client) -> None:
    person = User.objects.create_user("x@x.example", name="<script>alert(1)</script>")

    for url in (PEOPLE, f"{PEOPLE}{person.pk}/"):
        page = admin_client.get(url).content.decode()
        assert "<script>alert(1)" not in page
        assert "&lt;script&gt;alert(1)" in page


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_demote_each_other_leave_one() -> None:
    ewa, tomas = (
        User.objects.create_user(f"{n}@x.example", name=n, role=Role.ADMIN)
        for n in ("ewa", "tomas")
    )
    barrier = threading.Barrier(2, timeout=10)
    outcomes: list[str] = []

    def race(actor: User, target: User) -> None:
        barrier.wait()
        try:
            services.change_role(actor=actor, user_id=target.pk, role=Role.AGENT)
            outcomes.append("done")
        except LastAdminError:
            outcomes.append("refused")
        finally:
            connection.close()

    racers = [
        threading.Thread(target=race, args=pair)
        for pair in ((ewa, tomas), (tomas, ewa))
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sorted(outcomes) == ["done", "refused"]
    assert User.objects.admins().count() == 1


def test_doing_it_twice_changes_nothing_more(admin: User, agent: User) -> None:
    services.reactivate_user(actor=admin, user_id=agent.pk)
    assert not AuditEntry.objects.exists()

    services.deactivate_user(actor=admin, user_id=agent.pk)
    services.deactivate_user(actor=admin, user_id=agent.pk)
    assert AuditEntry.objects.count() == 1


def test_sessions_survive_a_change_of_the_secret_key(
    client: Client, requester: User, settings: Settings
) -> None:
    client.force_login(requester)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that nobody knows"

    assert client.get("/profile/").status_code == 200
