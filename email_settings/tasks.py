"""What Celery runs. No task carries a payload: the database says what to do.

Acknowledged when they start: a wake-up that is lost with its worker is made up for by
the sweep, while one that is not acknowledged when Redis goes away can take the worker
down with it (kombu tries to put it back over the lost connection).
"""

from celery import shared_task

from email_settings import account_watch, canary, retention, silence, worker
from email_settings.delivery import pump
from email_settings.events import letters, second_try
from email_settings.readiness import run as readiness
from email_settings.reputation import guard
from email_settings.rotation import machine, reminder
from email_settings.suppression import aws


@shared_task(name="outbox.deliver", acks_late=False)
def deliver() -> None:
    """Send what is due, for some seconds."""
    worker.note_schedule()
    pump.drain()


@shared_task(name="outbox.watch_account", acks_late=False)
def watch_account() -> None:
    """Ask AWS about the account, when it is time."""
    account_watch.look()


@shared_task(name="reputation.look", acks_late=False)
def look_at_reputation() -> None:
    """Count what became of mail, and hold or release notices by it."""
    guard.look()


@shared_task(name="events.watch", acks_late=False)
def watch_events() -> None:
    """Look whether news of mail comes, and send what follows from that: a canary when
    it is time, and once more what no news came of.
    """
    silence.look()
    canary.look()
    second_try.look()


@shared_task(name="readiness.check", acks_late=False)
def check() -> None:
    """Look at the lines of the set-up checklist that are wanted or due."""
    readiness.sweep()


@shared_task(name="suppression.look", acks_late=False)
def look_after_suppressions() -> None:
    """Take addresses off AWS's suppression list, and read it, when that is wanted."""
    aws.look()


@shared_task(name="rotation.advance", acks_late=False)
def advance_rotation() -> None:
    """Do what is due of a rotation of the access key."""
    machine.advance()


@shared_task(name="rotation.remind", acks_late=False)
def remind_of_rotation() -> None:
    """Look how old the access key is."""
    reminder.look()


@shared_task(name="events.read_letters", acks_late=False)
def read_letters() -> None:
    """Read what SNS has posted."""
    letters.read_all()


@shared_task(name="outbox.prune", acks_late=False)
def prune() -> None:
    """Remove mail that is older than an admin wants to keep it, once a day."""
    letters.forget_old()
    retention.prune()
