"""Signing in, under the names that django-allauth gives its pages.

Only those that make sense where people join by invitation; the rest of its
addresses (signing up, managing several e-mail addresses, …) do not exist.
"""

from allauth.account import views
from django.urls import path, re_path

from accounts.views.sign_in import (
    ChangePasswordView,
    ResetPasswordView,
    SignInView,
)

urlpatterns = [
    path("login/", SignInView.as_view(), name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    # password
    path(
        "password/change/",
        ChangePasswordView.as_view(),
        name="account_change_password",
    ),
    path("password/reset/", ResetPasswordView.as_view(), name="account_reset_password"),
    path(
        "password/reset/done/",
        views.password_reset_done,
        name="account_reset_password_done",
    ),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
]
