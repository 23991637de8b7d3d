"""A policy as text: what is read back is what was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy import writing
from policy.document import PolicyPeer
from policy.file import parse_policy

GATEWAY = {
    "name": "hub",
    "addresses": ["198.51.100.1", "2001:db8::1"],
    "services": ["wireguard"],
    "mode": "enforce",
    "enforce_from": "2026-12-01T00:00:00Z",
    "enforce_until": None,
}


def peer(name: str, text: str) -> dict[str, object]:
    return {
        "name": name,
        "gateway": "hub",
        "owner": text,
        "contact": "netops@example.net",
        "purpose": text,
        "sources": ["203.0.113.7", "2001:db8:7::/48"],
        "valid_from": None,
        "valid_until": "2027-01-31T00:00:00Z",
    }


def check(name: str, text: str) -> None:
    fields = peer(name, text)
    written = "".join((*writing.part("gateways", [GATEWAY]), *writing.part("peers", [fields])))
    (found,) = parse_policy(written).peers
    assert found.model_dump() == PolicyPeer.model_validate(fields).model_dump()


@pytest.mark.parametrize("name", ["no", "null", "1e3", "007", "2026-11-28", "0x1f", "y", "1_000"])
def test_names_that_yaml_would_read_as_something_else(name: str) -> None:
    check(name, "plain")


# What is printable, as the document demands of these fields.
@given(
    st.text(
        st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1, max_size=500
    )
)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    check("a", text)


def test_parts_with_nothing_in_them() -> None:
    written = "".join((*writing.part("gateways", ()), *writing.part("peers", ())))
    assert parse_policy(written).peers == ()
