"""What hangs on a person, not on their address."""

from django.test import Client

from accounts import email_change
from accounts.models import User
from email_settings.models import OutboxMessage
from tickets import services
from tickets.models import Queue
from tickets.tests.builders import make_ticket

NEW = "hannah@new.example"


def test_tickets_stay_and_their_next_mail_goes_to_the_new_address(
    client: Client, admin: User, agent: User, requester: User, queue: Queue
) -> None:
    ticket = make_ticket(requester=requester, queue=queue)
    OutboxMessage.objects.all().delete()

    email_change.change_for(actor=admin, user_id=requester.pk, new_email=NEW)
    services.add_public_reply(actor=agent, number=ticket.number, body="Hello")

    reply = OutboxMessage.objects.get(kind="public_reply")
    assert reply.recipient == NEW
    client.force_login(User.objects.get(pk=requester.pk))
    assert client.get(f"/tickets/{ticket.number}/").status_code == 200
