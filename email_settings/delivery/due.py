"""Finds what is due, the most urgent first, without looking at what waits for later.

The states are literals because SQLite uses a partial index only when it can see that
its condition holds.
"""

from collections.abc import Sequence

from django.db import connection

from email_settings.delivery.clock import now_in_sql
from email_settings.models import Lane, OutboxMessage

# A question for the keys of messages, and its parameters
Find = tuple[str, list[object]]


def first_due(limit: int, *, last_lane: Lane = Lane.DIGEST) -> Find:
    """Return what finds the first due messages, none of a lane behind `last_lane`.

    On PostgreSQL they are locked, and what others have locked is skipped. SQLite has
    one writer at a time and knows no row locks.
    """
    if connection.vendor == "postgresql":
        now, parameters = now_in_sql()
        return (
            f"""
            SELECT id FROM {_table()}
            WHERE state = 'queued' AND lane <= {last_lane:d} AND due_at <= {now}
            ORDER BY lane, due_at, id LIMIT %s FOR UPDATE SKIP LOCKED
            """,  # noqa: S608  # all of it is ours
            [*parameters, limit],
        )
    return _first_of_the_lanes([lane for lane in Lane if lane <= last_lane], limit)


def first_held(reason_codes: Sequence[str], limit: int) -> Find:
    """Return the same for messages that are held for one of these reasons.

    Asked reason by reason, which is where the index begins: all that is held for one is
    in its order there, so that no more is read than the first of each.
    """
    lock = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    of_one = f"""
        SELECT * FROM (
            SELECT id, lane, due_at FROM {_table()} {_by_reason()}
            WHERE state = 'held' AND reason_code = %s
            ORDER BY lane, due_at, id LIMIT %s {lock}
        ) AS held
    """  # noqa: S608  # all of it is ours
    find = f"""
        SELECT id FROM ({" UNION ALL ".join([of_one] * len(reason_codes))}) AS found
        ORDER BY lane, due_at, id LIMIT %s
    """  # noqa: S608  # all of it is ours
    of_each = [value for code in reason_codes for value in (code, limit)]
    return find, [*of_each, limit]


def held_reasons() -> list[str]:
    """Return each reason for which messages are held.

    One look into the index a reason, however many messages there are.
    """
    first = f"""
        SELECT min(reason_code) FROM {_table()} {_by_reason()} WHERE state = 'held'
    """  # noqa: S608  # all of it is ours
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE reasons (code) AS (
                {first}
                UNION ALL
                SELECT ({first} AND reason_code > reasons.code)
                FROM reasons WHERE code IS NOT NULL
            )
            SELECT code FROM reasons WHERE code IS NOT NULL
            """  # noqa: S608  # all of it is ours
        )
        return [code for (code,) in cursor.fetchall()]


def is_something_due() -> bool:
    """Return whether a message could leave now.

    Asked lane by lane for the one that is due first, which is where the index begins. A
    condition on due_at alone would read every message that waits for later, and of
    EXISTS PostgreSQL thinks that it ends soon wherever it begins.
    """
    now, parameters = now_in_sql()
    in_lane = f"""coalesce((
        SELECT min(due_at) FROM {_table()}
        WHERE state = 'queued' AND lane = {{lane}}
    ) <= {now}, false)"""  # noqa: S608  # all of it is ours
    lanes = [in_lane.format(lane=int(lane)) for lane in Lane]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {' OR '.join(lanes)}", parameters * len(lanes))
        return bool(cursor.fetchone()[0])


def _first_of_the_lanes(lanes: Sequence[Lane], limit: int) -> Find:
    """Ask lane by lane: SQLite would read all that waits in one for later before it
    looks into the next. It sorts no more than the first of each.
    """
    now, parameters = now_in_sql()
    of_each = [
        f"""
        SELECT * FROM (
            SELECT id, lane, due_at FROM {_table()}
            WHERE state = 'queued' AND lane = {lane:d} AND due_at <= {now}
            ORDER BY due_at, id LIMIT %s
        )
        """  # noqa: S608  # all of it is ours
        for lane in lanes
    ]
    find = f"""
        SELECT id FROM ({" UNION ALL ".join(of_each)})
        ORDER BY lane, due_at, id LIMIT %s
    """  # noqa: S608  # all of it is ours
    return find, [*[*parameters, limit] * len(lanes), limit]


def _by_reason() -> str:
    # Without statistics SQLite reads all that is held to find its first reason.
    return "INDEXED BY outbox_held" if connection.vendor == "sqlite" else ""


def _table() -> str:
    return OutboxMessage._meta.db_table
