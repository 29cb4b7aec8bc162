"""When something goes wrong, people are told in plain words and given a way back."""

import re

import pytest
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.test import Client, RequestFactory
from django.urls import path
from django.views import defaults

from ticketflow.lib.access import admin_required
from ticketflow.urls import urlpatterns as own_urlpatterns

ERROR_PAGES = [
    "400.html",
    "403.html",
    "403_csrf.html",
    "404.html",
    "405.html",
    "429.html",
    "500.html",
]


@admin_required
def for_admins(request: HttpRequest) -> HttpResponse:
    return HttpResponse("secret")


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("canary")


urlpatterns = [
    *own_urlpatterns,
    path("for-admins/", for_admins),
    path("broken/", broken),
]


@pytest.mark.parametrize("name", ERROR_PAGES)
def test_page_needs_neither_request_nor_database(name: str) -> None:
    html = get_template(name).render()
    assert re.search(r"<h1>\S", html)
    assert 'href="/"' in html


def test_page_gives_the_id_that_stands_in_the_log(client: Client) -> None:
    response = client.get("/no-such-page/")
    assert response.status_code == 404
    assert response["X-Request-ID"] in response.content.decode()


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_people_without_the_right_are_told_who_can_help(
    client: Client, requester: object
) -> None:
    client.force_login(requester)  # type: ignore[arg-type]
    response = client.get("/for-admins/")
    assert response.status_code == 403
    assert b"An admin of your help desk" in response.content
    assert b"secret" not in response.content


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_broken_page_hides_what_broke(client: Client, requester: object) -> None:
    client.force_login(requester)  # type: ignore[arg-type]
    client.raise_request_exception = False
    response = client.get("/broken/")
    assert response.status_code == 500
    assert b"Something broke on our side" in response.content
    assert b"canary" not in response.content


@pytest.mark.django_db
def test_what_only_takes_forms_is_no_blank_page(
    client: Client, requester: object
) -> None:
    client.force_login(requester)  # type: ignore[arg-type]
    response = client.get("/tickets/1/reply/")
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert b"This address only takes what a form sends." in response.content


def test_form_without_its_token_is_refused_with_advice() -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/accounts/login/", {"login": "x"})
    assert response.status_code == 403
    assert b"The form was too old" in response.content


def test_bad_request_is_explained(rf: RequestFactory) -> None:
    response = defaults.bad_request(rf.get("/"), ValueError("canary"))
    assert response.status_code == 400
    assert b"canary" not in response.content
