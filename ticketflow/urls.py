"""Every address of the product, room by room."""

from django.urls import include, path

from ticketflow import sending_again, views

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("admin-panel/", views.admin_overview, name="admin-overview"),
    path(
        "admin-panel/email-activity/<uuid:uid>/send-again/",
        sending_again.message_send_again,
        name="message-send-again",
    ),
    path("", include("email_settings.urls")),
    path("accounts/", include("accounts.sign_in_urls")),
    path("", include("accounts.urls")),
    path("", include("tickets.urls")),
]
