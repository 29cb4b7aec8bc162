"""How the things are called that TicketFlow has in an AWS account."""

from dataclasses import dataclass
from typing import Self

from django.utils.crypto import salted_hmac

from email_settings.models import SesSettings


@dataclass(frozen=True)
class Names:
    """All begin alike, so that they can be found, granted and removed together.

    Six letters of this installation keep a second one on the same account away from the
    queue of the first: each event is given to one reader only.
    """

    user: str
    configuration_set: str
    topic: str
    queue: str

    @classmethod
    def new(cls) -> Self:
        """Return the names for all that is yet to be made, the same ones every time."""
        # Known before anything is saved, unlike SesSettings.installation.
        letters = salted_hmac("email_settings.provisioning", "names").hexdigest()[:6]
        base = f"ticketflow-ses-{letters}"
        events = f"{base}-events"
        return cls(user=base, configuration_set=base, topic=events, queue=events)

    @classmethod
    def of(cls, sender: SesSettings) -> Self:
        """Return the names of what is connected; new ones for what is not."""
        new = cls.new()
        return cls(
            user=new.user,
            configuration_set=sender.configuration_set or new.configuration_set,
            topic=sender.event_topic_arn.rpartition(":")[2] or new.topic,
            queue=sender.event_queue_url.rpartition("/")[2] or new.queue,
        )

    @property
    def dead_letters(self) -> str:
        """Where the queue puts what could not be read five times."""
        return f"{self.queue}-failed"

    @property
    def event_destination(self) -> str:
        return self.topic
