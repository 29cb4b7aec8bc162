"""What Celery runs for tickets."""

from celery import shared_task

from tickets import undelivered


@shared_task(name="tickets.tell_undelivered", acks_late=False)
def tell_undelivered() -> None:
    """Tell agents of mail that did not arrive."""
    undelivered.tell_for_a_while()
