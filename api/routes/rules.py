"""/v1/rules"""

from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, BaseModel, Field, model_validator
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.records import Rules, Terms
from api.registry import rules
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, answer
from api.routes.models import unset
from api.routes.peer_models import TermsVersion
from policy.document import Document, printable

router = APIRouter(prefix="/v1/rules", tags=["rules"])


def _lines(text: str) -> str:
    for line in text.split("\n"):
        printable(line)
    return text


class TermsOfUse(Document):
    """A text, or the address where it stands, or both."""

    version: TermsVersion
    text: Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_lines)] | None = (
        None
    )
    url: Annotated[str, Field(pattern="^https?://[!-~]+$", max_length=2000)] | None = Field(
        default=None, examples=["https://www.example.net/terms"]
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.text is None and self.url is None:
            raise ValueError("terms of use need a text or an url")
        return self


class RulesPatch(Document):
    """What changes of the rules; the rest stays. null takes a rule away."""

    four_eyes: bool = unset()
    terms: TermsOfUse | None = unset()
    longest_days: Annotated[int, Field(ge=1, le=36_500)] | None = unset()


class RulesView(BaseModel):
    four_eyes: bool = Field(description="who asks for something does not approve it")
    terms: TermsOfUse | None = Field(description="to be acknowledged by whoever asks for a peer")
    longest_days: int | None = Field(description="a registration lasts so long at most")

    @classmethod
    def of(cls, found: Rules) -> Self:
        return cls.model_validate(found, from_attributes=True)


@router.get("", dependencies=[Depends(needs(Permission.READ))], response_model=RulesView)
def show_rules(registry: RegistryOf) -> Response:
    """What every registration keeps to."""
    with registry.read() as read:
        found = rules.current(read)
    return answer(RulesView.of(found), version=found.version)


@router.patch("", dependencies=[Depends(needs(Permission.RULES))], response_model=RulesView)
def change_rules(
    registry: RegistryOf, caller: CallerOf, expected: ExpectedOf, body: RulesPatch
) -> Response:
    """Changes the rules that are sent, for what is asked from now on."""
    with registry.write(caller.actor, "rules changed") as write:
        found = rules.change(write, expected, _fields(body))
    return answer(RulesView.of(found), version=found.version)


def _fields(body: RulesPatch) -> rules.Changed:
    sent = body.model_fields_set
    fields = rules.Changed()
    if "four_eyes" in sent:
        fields["four_eyes"] = body.four_eyes
    if "terms" in sent:
        terms = body.terms
        fields["terms"] = None if terms is None else Terms(terms.version, terms.text, terms.url)
    if "longest_days" in sent:
        fields["longest_days"] = body.longest_days
    return fields
