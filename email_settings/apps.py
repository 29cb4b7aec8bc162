"""The email_settings room."""

from django.apps import AppConfig


class EmailSettingsConfig(AppConfig):
    name = "email_settings"
