"""Addresses of the email_settings room."""

from django.urls import path

from email_settings.views import (
    activity,
    all_mail,
    canary,
    checklist,
    events,
    events_webhook,
    fixes,
    guide,
    many_mails,
    mode,
    one_mail,
    reputation,
    rights,
    rotation,
    settings,
    trial,
    webhook,
)
from email_settings.views.suppression import acts, files, pages

app_name = "email_settings"

urlpatterns = [
    # the account that mail leaves through
    path("admin-panel/email-settings/", settings.settings_form, name="settings"),
    # the checklist beside it
    path(
        "admin-panel/email-settings/checklist/", checklist.checklist, name="checklist"
    ),
    path(
        "admin-panel/email-settings/check/", checklist.check_all, name="settings-check"
    ),
    path(
        "admin-panel/email-settings/check/<slug:key>/",
        checklist.check_line,
        name="settings-check-line",
    ),
    # fix it from here
    path("admin-panel/email-settings/fix/sender/", fixes.identity, name="fix-identity"),
    path(
        "admin-panel/email-settings/fix/mail-from/",
        fixes.mail_from,
        name="fix-mail-from",
    ),
    path(
        "admin-panel/email-settings/fix/production-access/",
        fixes.production,
        name="fix-production",
    ),
    path("admin-panel/email-settings/fix/events/", fixes.events, name="fix-events"),
    path("admin-panel/email-settings/go-live/", mode.go_live, name="settings-go-live"),
    path(
        "admin-panel/email-settings/rehearse/", mode.rehearse, name="settings-rehearse"
    ),
    # how to set it up, and the rights for it
    path("admin-panel/email-settings/guide/", guide.guide, name="guide"),
    path(
        "admin-panel/email-settings/guide/<slug:name>/",
        guide.guide_document,
        name="guide-document",
    ),
    path("admin-panel/email-settings/rights/", rights.rights, name="rights"),
    path(
        "admin-panel/email-settings/rights/script/",
        rights.rights_script,
        name="rights-script",
    ),
    path(
        "admin-panel/email-settings/rights/template/",
        rights.rights_template,
        name="rights-template",
    ),
    # what Amazon SES tells about mail
    path("admin-panel/email-settings/events/", events.events, name="events"),
    path(
        "admin-panel/email-settings/events/simulator/",
        events.events_simulator,
        name="events-simulator",
    ),
    path(
        "admin-panel/email-settings/events/canary/",
        canary.events_canary,
        name="events-canary",
    ),
    path(
        "admin-panel/email-settings/events/webhook/",
        events_webhook.switch_on,
        name="webhook-on",
    ),
    path(
        "admin-panel/email-settings/events/webhook/off/",
        events_webhook.switch_off,
        name="webhook-off",
    ),
    path(
        "admin-panel/email-settings/events/read-again/",
        events.read_all_again,
        name="events-read-all-again",
    ),
    path(
        "admin-panel/email-settings/events/<int:event_id>/read-again/",
        events.read_again,
        name="events-read-again",
    ),
    path("webhooks/ses/", webhook.ses_webhook, name="webhook"),
    # a new access key in the place of the old one
    path("admin-panel/email-settings/rotate/", rotation.rotation, name="rotation"),
    path(
        "admin-panel/email-settings/rotate/start/",
        rotation.rotation_start,
        name="rotation-start",
    ),
    path(
        "admin-panel/email-settings/rotate/key/",
        rotation.rotation_paste,
        name="rotation-paste",
    ),
    path(
        "admin-panel/email-settings/rotate/go-on/",
        rotation.rotation_act,
        name="rotation-act",
    ),
    # a test e-mail and its legs
    path("admin-panel/email-settings/test/", trial.test_send, name="settings-test"),
    path(
        "admin-panel/email-settings/test/<uuid:uid>/",
        trial.test_detail,
        name="test-detail",
    ),
    # how mail leaves, and every mail
    path("admin-panel/email-activity/", activity.message_list, name="message-list"),
    path("admin-panel/email-activity/hold/", all_mail.mail_hold, name="mail-hold"),
    path(
        "admin-panel/email-activity/release/",
        all_mail.mail_release,
        name="mail-release",
    ),
    # what waits because too much mail bounces
    path(
        "admin-panel/email-activity/let-notices-go/",
        reputation.notices_release,
        name="notices-release",
    ),
    path(
        "admin-panel/email-activity/hold-notices/",
        reputation.notices_hold,
        name="notices-hold",
    ),
    # many mails
    path(
        "admin-panel/email-activity/retry-all/",
        all_mail.message_retry_all,
        name="message-retry-all",
    ),
    path(
        "admin-panel/email-activity/retry-failed/",
        many_mails.message_retry_failed,
        name="message-retry-failed",
    ),
    path(
        "admin-panel/email-activity/cancel-all/",
        many_mails.message_cancel_all,
        name="message-cancel-all",
    ),
    path(
        "admin-panel/email-activity/resend-all/",
        many_mails.message_resend_all,
        name="message-resend-all",
    ),
    path(
        "admin-panel/email-activity/mark-all-sent/",
        many_mails.message_mark_all_sent,
        name="message-mark-all-sent",
    ),
    # addresses that get no mail
    path(
        "admin-panel/suppression-list/", pages.suppression_list, name="suppression-list"
    ),
    path(
        "admin-panel/suppression-list/find/",
        pages.suppression_find,
        name="suppression-find",
    ),
    path(
        "admin-panel/suppression-list/add/",
        files.suppression_add,
        name="suppression-add",
    ),
    path(
        "admin-panel/suppression-list/import/",
        files.suppression_import,
        name="suppression-import",
    ),
    path(
        "admin-panel/suppression-list/export/",
        files.suppression_export,
        name="suppression-export",
    ),
    path(
        "admin-panel/suppression-list/<int:entry_id>/",
        pages.suppression_detail,
        name="suppression-detail",
    ),
    path(
        "admin-panel/suppression-list/<int:entry_id>/release/",
        acts.suppression_release,
        name="suppression-release",
    ),
    path(
        "admin-panel/suppression-list/<int:entry_id>/security/",
        acts.suppression_security,
        name="suppression-security",
    ),
    path(
        "admin-panel/suppression-list/<int:entry_id>/send-again/",
        acts.suppression_send_again,
        name="suppression-send-again",
    ),
    # AWS's own list of them
    path(
        "admin-panel/suppression-list/aws/sync/",
        acts.suppression_sync,
        name="suppression-sync",
    ),
    path(
        "admin-panel/suppression-list/aws/take-over/",
        acts.suppression_take_over,
        name="suppression-take-over",
    ),
    path(
        "admin-panel/suppression-list/aws/<int:listed_id>/release/",
        acts.suppression_aws_release,
        name="suppression-aws-release",
    ),
    # one mail
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
        one_mail.message_retry,
        name="message-retry",
    ),
    path(
        "admin-panel/email-activity/<uuid:uid>/resend/",
        one_mail.message_resend,
        name="message-resend",
    ),
    path(
        "admin-panel/email-activity/<uuid:uid>/mark-sent/",
        one_mail.message_mark_sent,
        name="message-mark-sent",
    ),
    path(
        "admin-panel/email-activity/<uuid:uid>/cancel/",
        one_mail.message_cancel,
        name="message-cancel",
    ),
]
