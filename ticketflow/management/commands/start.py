"""`manage.py start`: the whole of TicketFlow in one terminal."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connections

from accounts.models import User
from ticketflow.lib.localfiles import read_or_create_secret
from ticketflow.runtime import preflight, web, worker
from ticketflow.runtime.supervisor import Printer, Role, Supervisor


class Command(BaseCommand):
    """Starts web and worker as children of this process and keeps them alive."""

    help = "Run web server and mail worker together. Ctrl-C stops both."
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host",
            default=os.environ.get("HOST", "127.0.0.1"),
            help="address to listen on (HOST; 127.0.0.1 is this machine alone)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # All that is written from here on is for this user alone.
        os.umask(0o077)
        preflight.prepare_folder(settings.DATA_DIR)
        lock = preflight.lock_folder(settings.DATA_DIR)
        listener = preflight.listen(options["host"], settings.PORT)

        say = Printer()
        self._prepare()
        self._welcome(say)
        socket = listener.fileno()
        roles = [
            _role(
                web,
                "--socket",
                str(socket),
                grace=web.GRACE,
                descriptors=[socket, lock],
            ),
            _role(worker, grace=worker.GRACE, descriptors=[lock]),
        ]
        code = Supervisor(roles, say=say, when_stopping=listener.close).run()
        say("start", "Stopped")
        sys.exit(code)

    def _prepare(self) -> None:
        try:
            call_command("migrate", verbosity=0, interactive=False)
        except OperationalError as error:
            raise preflight.CannotStartError(
                f"The database does not answer: {str(error).strip()}. Check DATABASE_URL "
                "and that the database server is running."
            ) from error
        call_command("collectstatic", verbosity=0, interactive=False)

    def _welcome(self, say: Printer) -> None:
        say("start", f"TicketFlow on {settings.SITE_URL}/ (Ctrl-C stops it)")
        say("start", f"Data in {settings.DATA_DIR}")
        if not User.objects.exists():
            token = read_or_create_secret(settings.DATA_DIR / "setup_token")
            say("start", "Nobody can sign in yet. Make the first admin here:")
            say("start", f"{settings.SITE_URL}/setup/?token={token}")
        # The parent needs the database no more; an open file would only stand in the way.
        connections.close_all()


def _role(
    module: ModuleType, *arguments: str, grace: float, descriptors: Sequence[int]
) -> Role:
    """A child that runs one of our modules, from whatever folder we were started."""
    return Role(
        name=module.__name__.rpartition(".")[2],
        command=[sys.executable, "-m", module.__name__, *arguments],
        grace=grace,
        descriptors=descriptors,
        environment={
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")])
            )
        },
    )
