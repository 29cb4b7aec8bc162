"""What a check has to look with."""

from collections.abc import Mapping
from dataclasses import dataclass

from email_settings.gateway.errors import ErrorClass, SendError
from email_settings.gateway.reader import Reader
from email_settings.gateway.words import denial
from email_settings.models import ReadinessLine, SesSettings
from email_settings.provisioning.policy import statement_for
from email_settings.readiness.dns import Dns
from email_settings.readiness.finding import Finding, State

NO_PERMISSION = "No permission"
# AWS can't be asked, or does not say: that tells nothing about the line.
_SAYS_NOTHING = {ErrorClass.NOTSENT, ErrorClass.UNKNOWN, ErrorClass.RATE}


@dataclass(frozen=True)
class Look:
    """One look at one line: the settings, AWS, DNS, and the other lines."""

    sender: SesSettings
    aws: Reader
    dns: Dns
    lines: Mapping[str, ReadinessLine]

    def is_done(self, key: str) -> bool:
        """Whether another line was found done, with these settings."""
        return self._stands(key, State.DONE)

    def _stands(self, key: str, state: State) -> bool:
        line = self.lines.get(key)
        return (
            line is not None
            and line.state == state
            and line.settings_version == self.sender.version
        )

    def is_settled(self, key: str) -> bool:
        """Whether another line is done or not needed, with these settings."""
        return self.is_done(key) or self._stands(key, State.UNNEEDED)

    def refused(self, error: SendError) -> Finding:
        """Return what the line shows when AWS was asked for it and gave an error."""
        problem = error.problem
        evidence = f"{problem.title} {problem.why}"
        if problem.kind is ErrorClass.IAM:
            return self._denied(error)
        if problem.kind in _SAYS_NOTHING:
            return Finding(
                State.UNKNOWN, "No answer", evidence, problem.fix, words=error.record
            )
        return Finding(
            State.WRONG, "Refused", evidence, problem.fix, words=error.record
        )

    def _denied(self, error: SendError) -> Finding:
        problem = error.problem
        action = problem.title.rpartition(": ")[2].rstrip(".")
        # Who may not do it to what, in full, stands in AWS's own words.
        cause = denial(error.detail, from_email=self.sender.from_email)["cause"]
        # The statement is shown by itself, to be copied.
        fix, colon, _ = problem.fix.partition(": {")
        return Finding(
            State.UNKNOWN,
            NO_PERMISSION,
            f"{problem.title} {cause} Mail can leave without this right.",
            f"{fix}." if colon else fix,
            statement=statement_for(action, self.sender) if colon else "",
            words=error.record,
        )
