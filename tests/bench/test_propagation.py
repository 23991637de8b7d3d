"""A small registry and an agent, and changes that arrive."""

from bench import propagation
from bench.mode import Mode


def test_rows(mode: Mode) -> None:
    rows = list(propagation.measure(mode, 20))
    assert [row["bench"] for row in rows] == ["start", "propagation", "propagation", "memory"]
    for row, change in zip(rows[1:3], ("approve", "revoke"), strict=True):
        assert (row["change"], row["rounds"], row["registered"]) == (change, 2, 20)
        assert 0 < float(str(row["p50_ms"])) <= float(str(row["max_ms"]))
