"""The tables of docs/kernels.md: written and read back, and untrue ones found."""

from dataclasses import replace

from tests.vm.kernels import SERIES
from tests.vm.tables import _BEGIN, _END, DOCUMENT, Measured, differences, render, stated

OLD = Measured(
    "5.10.0-46-amd64",
    {"coarse clock": "no", "longest frame of a test run": "3,520 bytes"},
    {"veth, native": "yes, MTU to 3502"},
    {"peergate": 5000, "peergate_explain": 4900},
)
NEW = replace(OLD, features={**OLD.features, "coarse clock": "yes"})


def test_what_is_written_is_true() -> None:
    said = stated(f"Words.\n{_BEGIN}\n{render({'5.10': OLD, '6.1': NEW})}\n{_END}\n| a | b |\n")
    assert list(said) == ["5.10", "6.1"]
    assert said["5.10"]["coarse clock"] == "no"
    assert differences(said["5.10"], OLD) == []
    assert differences(said["6.1"], NEW) == []
    assert (
        differences(said["5.10"], replace(OLD, instructions={**OLD.instructions, "peergate": 5400}))
        == []
    )


def test_what_is_not_true_is_found() -> None:
    said = stated(f"{_BEGIN}\n{render({'5.10': OLD})}\n{_END}")["5.10"]
    assert differences(said, NEW) == ["coarse clock: stated 'no', measured 'yes'"]
    more = replace(OLD, instructions={"peergate": 5600, "peergate_explain": 4900})
    assert differences(said, more) == ["instructions, live: stated 5000, measured 5600"]
    newer = replace(more, release="5.10.0-47-amd64")  # which the document does not speak of
    assert differences(said, newer) == []
    fewer = replace(OLD, features={"coarse clock": "no"})
    assert differences(said, fewer) == ["longest frame of a test run: stated, and not measured"]
    assert differences({}, OLD) != []


def test_the_document_has_every_kernel() -> None:
    assert list(stated(DOCUMENT.read_text())) == list(SERIES)
