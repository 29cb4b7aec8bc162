"""Rights in AWS: a script, a template or a policy to copy, for the features chosen."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from email_settings import services
from email_settings.provisioning import cloudformation, cloudshell
from email_settings.provisioning.console import console
from email_settings.provisioning.names import Names
from email_settings.provisioning.policy import FEATURES, Feature, as_text, policy
from email_settings.rights_form import RightsForm
from ticketflow.lib.access import admin_required

WAYS = {
    "script": "CloudShell script",
    "template": "CloudFormation template",
    "policy": "Policy only",
}
# Where each way begins in the AWS console
_STARTS = {
    "script": "cloudshell/home?region={region}",
    "template": "cloudformation/home?region={region}#/stacks/create",
    "policy": "iam/home#/policies/create",
}


@admin_required
@require_safe
def rights(request: HttpRequest) -> HttpResponse:
    """Show what to run or to paste in AWS, by the way that is asked for."""
    form = _form(request)
    way = request.GET.get("way", "")
    way = way if way in WAYS else "script"
    query = request.GET.copy()
    query.pop("way", None)
    context = {
        "form": form,
        "features": [
            (feature, about, feature in form["feature"].value())
            for feature, about in FEATURES.items()
        ],
        "way": way,
        "ways": WAYS.items(),
        "query": query.urlencode(),
    }
    if form.is_valid():
        place = form.place
        context |= {
            "text": _TEXTS[way](form),
            "place": place,
            "has_events": Feature.EVENTS in form.features,
            "has_rotation": Feature.ROTATION in form.features,
            "rotation_warning": FEATURES[Feature.ROTATION].warning,
            "start": console(_STARTS[way], place.region),
            "users": console("iam/home#/users", place.region),
        }
    return render(request, "email_settings/rights.html", context)


@admin_required
@require_safe
def rights_script(request: HttpRequest) -> HttpResponse:
    """Give the script as a file."""
    return _file(request, _script, cloudshell.FILE_NAME, "text/x-shellscript")


@admin_required
@require_safe
def rights_template(request: HttpRequest) -> HttpResponse:
    """Give the template as a file."""
    return _file(request, _template, cloudformation.FILE_NAME, "application/json")


def _form(request: HttpRequest) -> RightsForm:
    has_chosen = bool(set(request.GET) - {"way"})
    data = request.GET if has_chosen else None
    return RightsForm(data, stored=services.stored_settings())


def _file(
    request: HttpRequest, text: Callable[[RightsForm], str], name: str, kind: str
) -> HttpResponse:
    form = _form(request)
    if not form.is_valid():
        return redirect("email_settings:rights")
    return HttpResponse(
        text(form),
        content_type=f"{kind}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _script(form: RightsForm) -> str:
    return cloudshell.script(form.features, form.place)


def _template(form: RightsForm) -> str:
    return cloudformation.template(form.features, form.place, Names.new())


def _policy(form: RightsForm) -> str:
    return as_text(policy(form.features, form.place))


_TEXTS = {"script": _script, "template": _template, "policy": _policy}
