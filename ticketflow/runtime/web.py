"""The web child: `python -m ticketflow.runtime.web --socket 5 --lifeline 6`."""

import argparse
import os
from typing import Any

from django.core.wsgi import get_wsgi_application
from gunicorn.app.base import BaseApplication

from ticketflow.runtime import lifeline

THREADS = 8
GRACE = 10.0  # seconds that the supervisor waits for it to end


class WebServer(BaseApplication):
    """Gunicorn with one process of eight threads, on a socket that it is given.

    One process, because SQLite's writers take turns anyway and memory is dear.
    """

    def __init__(self, socket: int) -> None:
        self.options = {
            "bind": f"fd://{socket}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "keepalive": 15,
            "timeout": 60,
            "graceful_timeout": int(GRACE) - 2,
            "accesslog": None,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        super().__init__()  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        assert self.cfg is not None
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the application; called in the process that serves it."""
        return get_wsgi_application()


def main() -> None:
    """Serve until SIGTERM or until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")
    lifeline.hold(arguments.lifeline)
    WebServer(arguments.socket).run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
