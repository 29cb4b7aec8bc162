"""The wiring."""

from django.apps import AppConfig


class TicketflowConfig(AppConfig):
    name = "ticketflow"
