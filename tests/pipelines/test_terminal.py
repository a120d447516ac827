"""What a person sees: redrawn on a terminal, line by line elsewhere."""

from io import StringIO

from pipelines.terminal import Screen

LINES = ("train nano: 1/9 steps [00:01<00:08]", "train nano: 9/9 steps [00:09<00:00]", "report: a.html")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: StringIO) -> str:
    screen = Screen(out)
    for line in LINES:
        screen.show(line)
    return out.getvalue()


def test_on_a_terminal_a_bar_replaces_itself() -> None:
    assert shown(Terminal()) == f"{LINES[0]}\r\x1b[K{LINES[1]}\n{LINES[2]}\n"


def test_elsewhere_every_line_stands() -> None:
    assert shown(StringIO()) == "".join(f"{line}\n" for line in LINES)
