"""What was exported and is imported where nobody is approved gives the same allowlist."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.prefixes import SHORTEST_SOURCE
from tests.api.bodies import NOW, gateway, peer, text
from tests.api.conftest import Service
from tests.api.test_import import ANY, IMPORT, allowed, ndjson, policy_lines

_days = st.none() | st.integers(1, 400).map(lambda days: text(NOW + timedelta(days=days)))
_sources = st.lists(
    st.ip_addresses(v=4, network="10.0.0.0/8").map(str)
    | st.integers(SHORTEST_SOURCE[6], 64).map(lambda length: f"2000::/{length}"),
    min_size=1,
    max_size=4,
)
_lines = st.lists(
    st.builds(
        lambda name, sources, until, state: peer(
            name=name, sources=sources, valid_until=until, state=state
        ),
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
        _sources,
        _days,
        st.sampled_from(["pending", "approved", "active", "expired", "revoked"]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda line: line["name"],
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_lines)
def test_the_way_there_and_back(service: Service, lines: list[dict[str, object]]) -> None:
    def emptied() -> None:
        body = policy_lines(gateway())
        assert service.admin.post("/v1/policy/import", content=body, headers=ANY).is_success
        for each in service.admin.get("/v1/peers?state=pending&limit=500").json()["items"]:
            service.act(each["id"], "reject", {"reason": "over"})
        assert allowed(service) == []

    emptied()
    kept = {"state": "kept"}
    assert service.admin.post(IMPORT, content=ndjson(*lines), params=kept).is_success
    before, exported = allowed(service), service.admin.get("/v1/peers/export").content
    emptied()
    assert service.admin.post(IMPORT, content=exported, params=kept).is_success
    assert allowed(service) == before
