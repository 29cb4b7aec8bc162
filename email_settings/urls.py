"""Addresses of the email_settings room."""

from django.urls import path

from email_settings.views import activity, mode, settings, trial

app_name = "email_settings"

urlpatterns = [
    # the account that mail leaves through
    path("admin-panel/email-settings/", settings.settings_form, name="settings"),
    path(
        "admin-panel/email-settings/check/",
        settings.settings_check,
        name="settings-check",
    ),
    path("admin-panel/email-settings/go-live/", mode.go_live, name="settings-go-live"),
    path(
        "admin-panel/email-settings/rehearse/", mode.rehearse, name="settings-rehearse"
    ),
    # a test e-mail and its legs
    path("admin-panel/email-settings/test/", trial.test_send, name="settings-test"),
    path(
        "admin-panel/email-settings/test/<uuid:uid>/",
        trial.test_detail,
        name="test-detail",
    ),
    # every mail
    path("admin-panel/email-activity/", activity.message_list, name="message-list"),
    path(
        "admin-panel/email-activity/retry-all/",
        activity.message_retry_all,
        name="message-retry-all",
    ),
    path(
        "admin-panel/email-activity/<uuid:uid>/",
        activity.message_detail,
        name="message-detail",
    ),
    path(
        "admin-panel/email-activity/<uuid:uid>/html/",
        activity.message_html,
        name="message-html",
    ),
    path(
        "admin-panel/email-activity/<uuid:uid>/retry/",
        activity.message_retry,
        name="message-retry",
    ),
]
