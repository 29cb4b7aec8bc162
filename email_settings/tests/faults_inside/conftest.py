"""A live installation, and the stand-in that its mail goes to."""

from collections.abc import Iterator

import pytest

from email_settings.delivery import pump
from email_settings.models import SesSettings
from email_settings.tests.builders import make_settings
from email_settings.tests.faults_inside.aws import ScriptedSes, running_scripted_ses

# Fast enough that no test waits for its turn; the pace has tests of its own.
QUICK = 1_000.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if "faults_inside" in item.path.parts:
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedSes]:
    """What the AWS SDK takes for Amazon SES."""
    with running_scripted_ses() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def live(db: None) -> SesSettings:
    """Saved settings that send for real."""
    return make_settings(max_send_rate=QUICK)


@pytest.fixture(autouse=True)
def _not_stopping() -> Iterator[None]:
    yield
    pump.stopping.clear()
