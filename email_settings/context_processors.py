"""What every page of the Admin Panel says about mail."""

from django.http import HttpRequest

from email_settings.status import MailStatus


def mail_status(request: HttpRequest) -> dict[str, MailStatus]:
    """Give templates `mail_status`; nothing is read until one of them asks."""
    return {"mail_status": MailStatus()}
