"""What Celery runs. No task carries a payload: the database says what to do."""

from celery import shared_task

from email_settings import worker
from email_settings.delivery import pump


@shared_task(name="outbox.deliver")
def deliver() -> None:
    """Send what is due, for some seconds."""
    pump.drain()


@shared_task(name="outbox.heartbeat")
def heartbeat() -> None:
    """Note that this worker takes tasks."""
    worker.beat()
