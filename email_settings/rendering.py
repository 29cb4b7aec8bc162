"""A mail's three parts from its three templates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import css_inline
from django.conf import settings
from django.template import Context, Template
from django.template.loader import get_template, render_to_string

from email_settings.models import Brand

_inliner = css_inline.CSSInliner(
    keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False
)


@dataclass(frozen=True)
class Rendered:
    """What a template made of its context."""

    subject: str
    text: str
    html: str


def company_name() -> str:
    """Return the name that mails are signed with."""
    brand = Brand.objects.first()
    return brand.company_name if brand else "TicketFlow"


def render_mail(template: str, context: Mapping[str, Any]) -> Rendered:
    """Render `<template>.subject.txt`, `<template>.txt` and `<template>.html`.

    Besides the context, templates know `company_name` and `site_url`. The text parts
    are rendered without HTML escaping; the subject comes out as one line.
    """
    values = {
        "company_name": company_name(),
        "site_url": settings.SITE_URL,
        **context,
    }
    return Rendered(
        subject=" ".join(_as_text(f"{template}.subject.txt", values).split())[:255],
        text=_as_text(f"{template}.txt", values).strip() + "\n",
        html=_inliner.inline(render_to_string(f"{template}.html", values)),
    )


def _as_text(template_name: str, values: Mapping[str, Any]) -> str:
    template: Template = get_template(template_name).template  # type: ignore[attr-defined]
    return template.render(Context(dict(values), autoescape=False))
