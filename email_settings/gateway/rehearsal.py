"""The gateway while mail is in rehearsal: everything is kept, nothing leaves."""

from email_settings.gateway.base import Outgoing
from email_settings.gateway.errors import SendError, problem_for


class RehearsalGateway:
    """Keeps every mail where it is."""

    def send(self, outgoing: Outgoing) -> str:
        """Raise the SendError that means kept on purpose."""
        raise SendError(problem_for("rehearsal"))
