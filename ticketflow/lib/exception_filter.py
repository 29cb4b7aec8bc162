"""Error pages and error mails without secrets, whatever was being done."""

import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest, QueryDict
from django.views.debug import SafeExceptionReporterFilter


class HiddenValuesFilter(SafeExceptionReporterFilter):
    """Shows where an error happened, but not what people typed or variables held.

    Django's own filter knows only variables that the code names, and rests altogether
    under DEBUG. The variables of the AWS SDK, which holds the secret access key while it
    signs, can't be named from here.
    """

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|REDIS|BROKER|LOCATION",
        re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        """Return the names of what was posted."""
        posted = request.POST if request is not None else QueryDict()
        return dict.fromkeys(posted, self.cleansed_substitute)

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        """Return the names of a frame's variables."""
        return dict.fromkeys(tb_frame.f_locals, self.cleansed_substitute).items()
