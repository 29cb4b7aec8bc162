"""Addresses of the email_settings room."""

from django.urls import URLPattern

app_name = "email_settings"

urlpatterns: list[URLPattern] = []
