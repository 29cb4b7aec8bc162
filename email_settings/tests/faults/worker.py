"""The product's worker, broken as planned: `python -m email_settings.tests.faults.worker`."""

import os

import django


def main() -> None:
    """Apply the plan of the environment, then be an ordinary worker."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketflow.settings")
    from email_settings.tests.faults.plan import Plan

    plan = Plan.from_environment()
    plan.set_clock()
    django.setup()
    from ticketflow.celery import app
    from ticketflow.runtime import worker

    app.loader.import_default_modules()
    plan.apply()
    worker.main()


if __name__ == "__main__":
    main()
