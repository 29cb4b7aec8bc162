"""Files leave here, and only as downloads."""

from django.http import FileResponse, Http404
from django.views.decorators.http import require_safe

from tickets.access import get_attachment
from tickets.views.http import AuthenticatedRequest


@require_safe
def attachment_detail(
    request: AuthenticatedRequest, attachment_id: int
) -> FileResponse:
    """Hand out one file. A browser never shows it as a page of this site."""
    attachment = get_attachment(request.user, attachment_id)
    try:
        file = attachment.file.open("rb")
    except FileNotFoundError:
        raise Http404 from None  # the row survived a restore, the file did not
    return FileResponse(
        file,
        as_attachment=True,
        filename=attachment.file_name,
        content_type=attachment.content_type,
        headers={
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        },
    )
