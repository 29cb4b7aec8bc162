"""What Django's log of requests leaves out: what is no error of ours."""

import logging

PROBES = frozenset({"/healthz", "/readyz"})


class NoFalseAlarms(logging.Filter):
    """Drops the 503 of a probe, whose view tells why, and the traceback of a refusal.

    An exception that nobody caught comes as a 500 and stays as it is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status_code", 500)
        path = getattr(getattr(record, "request", None), "path", "")
        if status == 503 and path in PROBES:
            return False
        if status < 500:
            record.exc_info = None
        return True
