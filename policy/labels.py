"""Labels of routers, and what a gateway or a roll-out selects by them."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

LABELS_PER_ROUTER = 32

_WORD = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}"
_Word = Annotated[str, Field(pattern=f"^{_WORD}$")]

# One, as it is written in a line.
Label = Annotated[str, Field(pattern=f"^{_WORD}={_WORD}$", examples=["site=fra"])]


def _few(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > LABELS_PER_ROUTER:
        raise ValueError(f"at most {LABELS_PER_ROUTER} labels")
    return labels


# Key and value, as in {site: fra}. As a selector: the labels that a router must have, all of
# them; so the empty one selects every router.
Labels = Annotated[
    dict[_Word, _Word],
    AfterValidator(_few),
    Field(examples=[{"site": "fra"}]),
]


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a router of these labels is selected."""
    return selector.items() <= labels.items()
