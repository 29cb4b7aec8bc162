"""The cast: who the tests are about."""

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from accounts.models import Role, User
from email_settings.models import Brand
from tickets.models import Queue

pytest_plugins = ["ticketflow.tests.services"]

PASSWORD = "correct horse battery"

# How long an example takes says how busy the machine is with the other tests.
hypothesis_settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("busy machine")


def make_user(email: str, name: str, role: Role) -> User:
    return User.objects.create_user(email, PASSWORD, name=name, role=role)


@pytest.fixture
def brand(db: None) -> Brand:
    return Brand.objects.create(company_name="Larkfield")


@pytest.fixture
def requester(db: None) -> User:
    """Opens tickets."""
    return make_user("hannah@larkfield.example", "Hannah Brooks", Role.REQUESTER)


@pytest.fixture
def outsider(db: None) -> User:
    """Another requester, who must see nothing of the first one's."""
    return make_user("oliver@larkfield.example", "Oliver Grant", Role.REQUESTER)


@pytest.fixture
def agent(db: None) -> User:
    return make_user("maya@larkfield.example", "Maya Okafor", Role.AGENT)


@pytest.fixture
def admin(db: None) -> User:
    return make_user("ewa@larkfield.example", "Ewa Kowalska", Role.ADMIN)


@pytest.fixture
def queue(db: None) -> Queue:
    return Queue.objects.create(name="IT Support", icon="laptop")
