"""The product's migrations, killed as planned: `python -m email_settings.tests.faults.migrate`."""

import os

import django


def main() -> None:
    """Apply the plan of the environment, then migrate as `manage.py start` does."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")
    django.setup()
    from django.core.management import call_command

    from email_settings.tests.faults.plan import Plan

    Plan.from_environment().apply()
    call_command("migrate", interactive=False, verbosity=0)


if __name__ == "__main__":
    main()
