#!/usr/bin/env python
"""Django's command-line entry point."""

import os
import sys

from django.core.management import execute_from_command_line

from ticketflow.errors import DomainError

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")
    try:
        execute_from_command_line(sys.argv)
    except DomainError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell says of a program that Ctrl-C ended
