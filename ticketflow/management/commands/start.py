"""`manage.py start`: the whole of TicketFlow in one terminal."""

import os
import socket
import sys
from argparse import ArgumentParser
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection, connections

from accounts.models import User
from email_settings import credentials
from ticketflow.demo import aws as demo_aws
from ticketflow.demo import company
from ticketflow.lib import encryption
from ticketflow.lib.localfiles import read_or_create_secret
from ticketflow.runtime import preflight, web, worker
from ticketflow.runtime.supervisor import Printer, Role, Supervisor

LOOPBACK = "127.0.0.1"
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104


class Command(BaseCommand):
    """Starts web and worker as children of this process and keeps them alive."""

    help = "Run web server and mail worker together. Ctrl-C stops both."
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host",
            default=os.environ.get("HOST", LOOPBACK),
            help="address to listen on (HOST; 127.0.0.1 is this machine alone)",
        )
        parser.add_argument(
            "--demo",
            action="store_true",
            help="with invented tickets, and a stand-in for AWS that sends nothing",
        )
        parser.add_argument(
            "--web-only",
            action="store_true",
            help="without a worker, where workers run elsewhere",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # All that is written from here on is for this user alone.
        os.umask(0o077)
        preflight.prepare_folder(settings.DATA_DIR)
        lock = preflight.lock_folder(settings.DATA_DIR)
        listener = preflight.listen(options["host"], settings.PORT)
        say = Printer()

        _prepare_database()
        _prepare_keys(say)
        call_command("collectstatic", verbosity=0, interactive=False)
        aws = _prepare_demo() if options["demo"] else None
        _welcome(say, options["host"])
        if aws:
            _show_demo(say, aws)
        # The parent needs the database no more; an open file would only be in the way.
        connections.close_all()

        roles = _roles(listener, lock, aws)
        if options["web_only"]:
            roles = [role for role in roles if role.name != "worker"]
        supervisor = Supervisor(roles, say=say, when_stopping=listener.close)
        code = supervisor.run()
        say("start", "Stopped")
        sys.exit(code)


def _prepare_database() -> None:
    if connection.vendor == "sqlite":
        preflight.check_sqlite()
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except OperationalError as error:
        reason = " ".join(str(error).split())
        raise preflight.CannotStartError(
            f"The database does not answer: {reason}. Check DATABASE_URL and that the "
            "database server is running."
        ) from error


def _prepare_keys(say: Printer) -> None:
    """Make the key file at the first start, so that the first backup holds it already."""
    try:
        credentials.ensure_key_file()
    except encryption.KeyFileMissingError as error:
        # Another key in its place could not read what is stored. All but mail works.
        say("start", f"{error} Mail is held until it is put back: see the Admin Panel.")


@dataclass(frozen=True)
class DemoAws:
    """Where the stand-in for AWS is asked: over HTTP, and over DNS."""

    http: socket.socket
    dns: socket.socket

    @property
    def url(self) -> str:
        host, port = self.http.getsockname()
        return f"http://{host}:{port}"

    @property
    def name_server(self) -> str:
        host, port = self.dns.getsockname()
        return f"{host}:{port}"


def _prepare_demo() -> DemoAws:
    """Fill an empty database, and return the sockets for the stand-in for AWS."""
    if not User.objects.exists():
        call_command("seed_demo", verbosity=0)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind((LOOPBACK, 0))
    return DemoAws(preflight.listen(LOOPBACK, 0), names)


def _welcome(say: Printer, host: str) -> None:
    say("start", f"TicketFlow on {settings.SITE_URL}/ (Ctrl-C stops it)")
    say("start", f"Data in {settings.DATA_DIR}")
    if host in EVERYWHERE and f"//{LOOPBACK}" in settings.SITE_URL:
        say("start", "Set SITE_URL to the address that other people use, too.")
    if not User.objects.exists():
        token = read_or_create_secret(settings.DATA_DIR / "setup_token")
        say("start", "Nobody can sign in yet. Make the first admin here:")
        say("start", f"{settings.SITE_URL}/setup/?token={token}")


def _show_demo(say: Printer, aws: DemoAws) -> None:
    admin, agent = "ewa.kowalska", "maya.okafor"
    say("start", f"Sign in as {admin}@{company.DOMAIN} (admin) or {agent}@… (agent),")
    say("start", f"hannah.brooks@… (requester); the password is “{company.PASSWORD}”.")
    say("start", f"Admin Panel → Email Settings takes {demo_aws.ACCESS_KEY_ID} with")
    say("start", f"{demo_aws.SECRET_ACCESS_KEY}, and From helpdesk@{company.DOMAIN}.")
    say(
        "start",
        "AWS is played by a child of this process: no mail leaves this machine.",
    )
    say("start", f"Nothing is set up there yet. Break it and mend it at {aws.url}/")


def _roles(listener: socket.socket, lock: int, aws: DemoAws | None) -> list[Role]:
    """The children, in the order in which they are stopped."""
    environment = {
        # Our own modules are found from whatever folder this was started in.
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")])
        )
    }
    children = [
        _child(web.__name__, listener, grace=web.GRACE),
        _child(worker.__name__, grace=worker.GRACE),
    ]
    if aws:
        environment["AWS_ENDPOINT_URL"] = aws.url
        environment["DNS_SERVERS"] = aws.name_server
        names = aws.dns.fileno()
        given = [f"--dns={names}", f"--domain={company.DOMAIN}"]
        child = _child(demo_aws.__name__, aws.http, *given, grace=3)
        children.append(replace(child, descriptors=[*child.descriptors, names]))
    return [
        replace(child, descriptors=[*child.descriptors, lock], environment=environment)
        for child in children
    ]


def _child(
    module: str, listener: socket.socket | None = None, *arguments: str, grace: float
) -> Role:
    inherited = [listener.fileno()] if listener else []
    sockets = [f"--socket={descriptor}" for descriptor in inherited]
    return Role(
        name=module.rpartition(".")[2],
        command=[sys.executable, "-m", module, *sockets, *arguments],
        grace=grace,
        descriptors=inherited,
    )
