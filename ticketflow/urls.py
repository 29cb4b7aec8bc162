"""Every address of the product, room by room."""

from django.urls import include, path

from ticketflow import views

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("admin-panel/", views.admin_overview, name="admin-overview"),
    path("", include("email_settings.urls")),
    path("accounts/", include("accounts.sign_in_urls")),
    path("", include("accounts.urls")),
    path("", include("tickets.urls")),
]
