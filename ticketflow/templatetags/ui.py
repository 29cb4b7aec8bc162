"""The parts of the design system as tags."""

from django import template

register = template.Library()
