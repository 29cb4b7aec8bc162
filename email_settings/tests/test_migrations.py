"""Installations that are updated: what old rows become."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from email_settings.models import OutboxMessage

APP = "email_settings"


@pytest.fixture
def before_0021(transactional_db: None) -> Iterator[None]:
    executor = MigrationExecutor(connection)
    newest = executor.loader.graph.leaf_nodes(APP)
    executor.migrate([(APP, "0020_webhook_problem")])
    yield
    # Also after a failure, for the tests that come later.
    MigrationExecutor(connection).migrate(newest)


def test_token_that_was_left_behind_stops_no_update(before_0021: None) -> None:
    old = MigrationExecutor(connection).loader.project_state(
        [(APP, "0020_webhook_problem")]
    )
    messages = old.apps.get_model(APP, "OutboxMessage").objects
    now = timezone.now()
    common = {"due_at": now, "expires_at": now, "claim_token": "a" * 32}
    left = messages.create(state="cancelled", **common)
    leased = messages.create(state="sending", lease_until=now, **common)
    MigrationExecutor(connection).migrate([(APP, "0021_token_of_sending")])
    tokens = dict(OutboxMessage.objects.values_list("pk", "claim_token"))
    assert tokens == {left.pk: "", leased.pk: "a" * 32}
