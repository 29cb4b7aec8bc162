"""Addresses of the tickets room."""

from django.urls import path

from tickets.views import (
    bulk,
    downloads,
    queues,
    replies,
    ticket_create,
    ticket_detail,
    ticket_list,
)

app_name = "tickets"

urlpatterns = [
    # tickets
    path("tickets/", ticket_list.ticket_list, name="ticket-list"),
    path("tickets/new/", ticket_create.ticket_create, name="ticket-create"),
    path("tickets/bulk/", bulk.ticket_bulk, name="ticket-bulk"),
    # one ticket
    path("tickets/<int:number>/", ticket_detail.ticket_detail, name="ticket-detail"),
    path("tickets/<int:number>/reply/", replies.ticket_reply, name="ticket-reply"),
    path(
        "tickets/<int:number>/properties/",
        ticket_detail.ticket_properties,
        name="ticket-properties",
    ),
    path("tickets/<int:number>/close/", replies.ticket_close, name="ticket-close"),
    path("tickets/<int:number>/reopen/", replies.ticket_reopen, name="ticket-reopen"),
    path(
        "tickets/<int:number>/watchers/",
        ticket_detail.watcher_add,
        name="watcher-add",
    ),
    path(
        "tickets/<int:number>/watchers/<int:user_id>/remove/",
        ticket_detail.watcher_remove,
        name="watcher-remove",
    ),
    # files
    path(
        "tickets/attachments/<int:attachment_id>/",
        downloads.attachment_detail,
        name="attachment-detail",
    ),
    # queues, in the Admin Panel
    path("admin-panel/queues/", queues.queue_list, name="queue-list"),
    path("admin-panel/queues/new/", queues.queue_create, name="queue-create"),
    path(
        "admin-panel/queues/<int:queue_id>/", queues.queue_update, name="queue-update"
    ),
]
