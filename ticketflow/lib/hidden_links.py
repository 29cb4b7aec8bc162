"""Links that work like a password stay out of the log."""

import logging
import re

# /admin-panel/users/invitations/5/ is no such link.
_LINK = re.compile(
    r"((?<!/users)/invitations/|/password/reset/key/|/email-changes/)[^/\s]+"
)


class HiddenLinksFilter(logging.Filter):
    """Puts … in the place of what makes the links of invitations, new passwords and addresses work."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        hidden = _LINK.sub(r"\1…", message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True
