"""Values on a terminal: shown, never obeyed."""

import pytest
from rich.console import Console

from cli import output


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain, ünïcode 日本", "plain, ünïcode 日本"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31mred", "\\x9b31mred"),
        ("bell\x07 back\x08 line\n", "bell\\x07 back\\x08 line\\x0a"),
        ("right\u202eleft", "right\\u202eleft"),
        ("half\ud800", "half\\ud800"),
        (7, "7"),
    ],
)
def test_control_characters_are_spelled_out(value: object, shown: str) -> None:
    assert output.harmless(value) == shown


def printed(capsys: pytest.CaptureFixture[str], *what: object) -> str:
    output.show(output.table(("a", "#b"), [what]))
    return capsys.readouterr().out


def test_a_cell_is_no_markup_and_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    assert "[red]x[/red] :smile: [link=http://x]" in printed(
        capsys, "[red]x[/red] :smile: [link=http://x]", 1
    )


def test_a_broken_tag_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("[/]", "[", "\\[", "[/bold"):
        assert text in printed(capsys, text, 1)
        output.note(text)
        output.warn(text)
        output.complain(text)
        out, err = capsys.readouterr()
        assert out == f"{text}\n"
        assert err == f"warning: {text}\npeergate: {text}\n"


def test_cells(capsys: pytest.CaptureFixture[str]) -> None:
    table = printed(capsys, ["one", "two"], 12345)
    assert "12,345" in table
    assert table.index("one") < table.index("two")
    assert "-" in printed(capsys, None, [])
    assert "2026-12-01T00:00:00Z" in printed(capsys, "2026-12-01T00:00:00.123456Z", 1)


def test_long_lines_are_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read them line by line."""
    output.note("x" * 500)
    output.complain("y" * 500)
    output.show(output.details({"name": "z" * 500}))
    out, err = capsys.readouterr()
    assert out == f"{'x' * 500}\nname  {'z' * 500}\n"
    assert err == f"peergate: {'y' * 500}\n"


def test_json_holds_no_raw_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_json({"name": "\x1b]0;\x9b\u202e"})
    assert capsys.readouterr().out.isascii()


def test_a_terminal_gets_colour_and_no_escape_of_ours_gets_through() -> None:
    terminal = Console(force_terminal=True, width=80, markup=False)
    with terminal.capture() as captured:
        terminal.print(output.table(("state",), [["active"], ["\x1b[2J"]]))
    assert "\x1b[32mactive" in captured.get()
    assert "\x1b[2J" not in captured.get()
