"""Addresses of the accounts room. Signing in: sign_in_urls.py."""

from django.urls import path

from accounts.views import emails, entry, invitations, people, profile

app_name = "accounts"

urlpatterns = [
    # ways in
    path("setup/", entry.setup, name="setup"),
    path("invitations/<str:token>/", entry.invitation_accept, name="invitation-accept"),
    # oneself
    path("profile/", profile.profile, name="profile"),
    path("profile/email/", emails.email_change, name="email-change"),
    path(
        "profile/email/resend/", emails.email_change_resend, name="email-change-resend"
    ),
    path(
        "profile/email/cancel/", emails.email_change_cancel, name="email-change-cancel"
    ),
    path("profile/email/again/", emails.mail_again, name="mail-again"),
    path(
        "email-changes/<str:token>/",
        emails.email_change_confirm,
        name="email-change-confirm",
    ),
    # people
    path("admin-panel/users/", people.user_list, name="user-list"),
    path("admin-panel/users/<int:user_id>/", people.user_detail, name="user-detail"),
    path(
        "admin-panel/users/<int:user_id>/email/", emails.user_email, name="user-email"
    ),
    path("admin-panel/users/<int:user_id>/role/", people.user_role, name="user-role"),
    path(
        "admin-panel/users/<int:user_id>/deactivate/",
        people.user_deactivate,
        name="user-deactivate",
    ),
    path(
        "admin-panel/users/<int:user_id>/reactivate/",
        people.user_reactivate,
        name="user-reactivate",
    ),
    # invitations
    path(
        "admin-panel/users/invite/",
        invitations.invitation_create,
        name="invitation-create",
    ),
    path(
        "admin-panel/users/invitations/<int:invitation_id>/resend/",
        invitations.invitation_resend,
        name="invitation-resend",
    ),
    path(
        "admin-panel/users/invitations/<int:invitation_id>/revoke/",
        invitations.invitation_revoke,
        name="invitation-revoke",
    ),
    path(
        "admin-panel/users/invitations/<int:invitation_id>/link/",
        invitations.invitation_link,
        name="invitation-link",
    ),
]
