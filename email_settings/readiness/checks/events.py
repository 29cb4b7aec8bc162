"""Whether Amazon SES tells what became of each mail, and whether that was tried."""

from email_settings.readiness.finding import Finding, State
from email_settings.readiness.look import Look


def events(look: Look) -> Finding:
    """Look whether delivery events come in."""
    return Finding(
        State.UNNEEDED,
        "Not connected",
        "Mail leaves without. “Sent” then means that Amazon SES took it: whether it "
        "arrived, bounced or was called spam is not seen here.",
        actions=("connect_events",),
    )


def simulator(look: Look) -> Finding:
    """Look whether a bounce and a complaint of Amazon's simulator came back."""
    return Finding(
        State.UNNEEDED,
        "Not connected",
        "There is nothing to try before delivery events are connected.",
    )
