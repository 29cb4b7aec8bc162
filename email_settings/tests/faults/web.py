"""The product's web process, broken as planned: `python -m email_settings.tests.faults.web`."""

import os
from typing import Any

from django.urls import get_resolver

from email_settings.tests.faults.plan import Plan
from ticketflow.runtime import web


class BrokenWebServer(web.WebServer):
    """Applies the plan in the process that serves."""

    def load(self) -> Any:
        application = super().load()
        assert get_resolver().url_patterns  # so that every view is imported
        Plan.from_environment().apply()
        return application


def main() -> None:
    """Be the ordinary web process otherwise."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")
    Plan.from_environment().set_clock()
    web.WebServer = BrokenWebServer  # type: ignore[misc]
    web.main()


if __name__ == "__main__":
    main()
