"""The display shows what its log points say, fits its terminal, keeps counting, and restores the terminal."""

import io
import math
import re
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ddpg.records.braille import draw
from ddpg.records.display import Display
from ddpg.records.frame import Frame
from ddpg.records.limits import Window
from ddpg.records.log import TAGS
from ddpg.records.notebook import in_notebook


def point(step: int, **numbers: Any) -> Any:
    """A log point of as many numbers as are given."""
    return {"step": step, **numbers}


def whole(step: int, seeds: int, value: float) -> Any:
    """One with every number."""
    return point(step, **dict.fromkeys(TAGS, np.full(seeds, 0.5)) | {"return": np.full(seeds, value)})


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_display_is_one_aligned_line_an_update() -> None:
    clock, out = Clock(), io.StringIO()
    console = Console(file=out, force_terminal=False, get_time=clock)
    with Display("ddpg [bold] Pendulum", 20_000, -139.1, console) as display:
        display.note("compiling [dim] …")
        display(point(2000, **{"return": np.array([math.nan])}))  # random steps, of which many go into a second
        clock.now += 1
        display.begin_learning(3000)
        for step, value in ((4000, -151.2), (8000, -140.0), (12000, math.nan)):
            clock.now += 2
            greedy = {"return": np.array([value]), "gap_to_optimum": np.array([-139.1 - value])}
            trained = {"q": np.array([-88.0]), "critic_loss": np.array([0.41]), "steps_per_second": 7900.0}
            display(point(step, **greedy, **trained))
    title, note, random, first, second, third = out.getvalue().splitlines()
    assert (title, note) == ("ddpg [bold] Pendulum", "compiling [dim] …")
    assert " ".join(first.split()) == (
        "step 4000/20000 return -151.2 gap 12.1 Q -88.0 loss 0.410 7 900 steps/s left 0:32"
    )
    assert random.endswith("left -:--")
    assert "gap   0.900" in second
    assert second.endswith("left 0:10")  # 5 000 steps took 4 seconds, 12 000 are left
    assert "return   -140.0  gap   0.900" in third  # not evaluated here: the last one stays
    assert len({line.index("steps/s") for line in (first, second, third)}) == 1
    assert "\x1b" not in out.getvalue()


def test_many_seeds_show_their_interquartile_mean_of_what_is_known() -> None:
    out = io.StringIO()
    with Display("t", 10, None, Console(file=out)) as display:
        display(point(5, **{"return": np.array([1, 2, 3, 4, 1000, math.nan])}))
    assert "return     3.00" in out.getvalue()
    assert "gap" not in out.getvalue()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 24), (25, 12), (12, 6)])
def test_live_display_fits_its_terminal(width: int, height: int) -> None:
    console = Console(
        file=io.StringIO(), force_terminal=True, legacy_windows=False, width=width, height=height, record=True,
        color_system="truecolor", _environ={"TERM": "xterm"},
    )  # fmt: skip
    with Display("ddpg · Pendulum-v1 · seeds 0–9", 20_000, -139.1, console) as display:
        for step in range(1000, 20_001, 1000):
            display(whole(step, 10, -140 - 1e6 / step))
    text = console.export_text().replace("╭", "\n╭")  # the export leaves out the control codes between frames
    assert max(cell_len(line) for line in text.splitlines()) <= width
    if width >= 40:
        frame = text[text.rindex("╭") :]
        assert len(frame.splitlines()) <= height
        numbers = "return -190.0", "gap", "-139.1", "Q ", "critic loss", "actor loss", "|∂Q/∂a|", "saturated", "steps/s"
        for shown in ("Pendulum", "100 %", "20 000", *numbers):
            assert shown in frame
        assert sum("\u2800" < c <= "\u28ff" for c in frame) > 20  # a curve, not dots


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 24), (25, 12)])
def test_numbers_of_the_users_own_have_a_line_in_the_frame(width: int, height: int) -> None:
    own = {"info": {"is_success": np.array([0.25, 0.75]), "episode.r": np.array([math.nan] * 2)}}
    own |= {"episode_info": {key: np.array([0.1, 0.1]) for key in own["info"]}}
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, _environ={"TERM": "xterm"})
    frame = Frame("t", 10, None, console.get_time)
    frame.update(point(5, **{"return": np.array([1.0, 2.0])}, **own))
    assert "is_success    0.500   episode.r        -   Q" in frame.line()
    with console.capture() as shown:
        console.print(frame.panel(width, height))
    lines = shown.get().splitlines()
    assert len(lines) <= height
    (line,) = (line for line in lines if "is_success" in line)
    if width == 80:
        plain = Text.from_ansi(line).plain
        assert "is_success 0.500 (training 0.100)   episode.r - (training 0.100)" in plain


def test_live_display_goes_on_while_the_main_thread_waits_and_restores_the_cursor() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
    frames: list[int] = []
    with pytest.raises(ZeroDivisionError), Display("t", 10, None, console) as display:  # noqa: PT012
        display.note("compiling")
        for wait in (0.0, 1.0):
            time.sleep(wait)
            frames.append(out.getvalue().count("waiting for the first"))
        raise ZeroDivisionError
    assert frames[1] >= frames[0] + 2
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


def test_curve_is_drawn_where_it_is() -> None:
    def drawn(points: list[tuple[float, float]], optimum: float | None = None, begin: float = 0) -> list[str]:
        return [line.plain for line in draw(np.array(points), Window(begin, 10, 0.0, 1.0), optimum, width=4, rows=2)]

    assert drawn([(0, 0.0), (10, 1.0)]) == ["  ⡠⠊", "⡠⠊  "]
    assert drawn([(0, 0.0), (5, 0.0), (6, 1.0), (10, 1.0)]) == ["  ⡏⠉", "⣀⣀⠇ "]
    flat = drawn([(5, 0.0)], optimum=1.0)
    assert flat[0] == "⠁⠁⠁⠁"
    assert flat[1].count(" ") == 3
    assert drawn([(0, -50.0), (5, 0.0), (10, 1.0)], begin=5) == ["  ⡠⠊", "⡠⠊  "]


def test_the_frame_has_the_whole_curve_and_its_end_enlarged() -> None:
    frame = Frame("t", 20_000, -130.0, lambda: 0.0)
    levels = [-1400.0, -900.0, -400.0, -160.0, -150.0, -146.0, -147.0, -145.0, -146.0, -144.0]
    for i, level in enumerate(levels):
        frame.update(point(1000 * (i + 1), **{"return": np.array([level])}))

    def lines(width: int) -> list[str]:
        console = Console(file=io.StringIO(), force_terminal=True, width=width, height=24, _environ={"TERM": "xterm"})
        with console.capture() as shown:
            console.print(frame.panel(width, 24))
        return Text.from_ansi(shown.get()).plain.splitlines()

    (top, bottom, foot) = (line for line in lines(80) if "┤" in line or "enlarged" in line)
    assert top.count("┤") == bottom.count("┤") == 2
    assert re.findall(r"-[\d.]+", bottom) == ["-1476.2", "-151.2"]
    assert foot.split()[1:-1] == ["0", "steps", "20", "000", "5", "000", "enlarged", "10", "000"]
    narrow = lines(50)
    assert not any("enlarged" in line for line in narrow)
    assert any("-1476.2┤" in line for line in narrow)


def test_a_quiet_display_prints_warnings_alone() -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
    for console in (Console(file=out), terminal):
        with Display("title", 10, None, console, quiet=True) as display:
            display.note("compiling")
            display(whole(5, 1, -3.0))
            display.warn("the disk is full")
    assert out.getvalue() == "the disk is full\n" * 2


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """A kernel's IPython: its outputs, each the list of what it has shown."""
    outputs = list[list[Any]]()

    def display(shown: Any, display_id: bool = False) -> Any:
        output = [shown]
        outputs.append(output)
        return SimpleNamespace(update=output.append) if display_id else None

    ipython: Any = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    shown: Any = ModuleType("IPython.display")
    shown.display, shown.HTML, shown.Image = display, str, lambda filename: ("picture", filename)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return outputs


def test_a_notebook_has_one_output_updated_in_place_and_the_curve(
    notebook: list[list[Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    curve = tmp_path / "learning_curve.png"
    with Display("Pendulum <1>", 10, -139.1) as display:
        display.note("compiling & so on")
        for step, value in ((5, -200.0), (10, -150.0)):
            display(whole(step, 2, value))
    display.show(curve)  # which is not drawn of a run that diverged
    curve.touch()
    display.show(curve)
    frames, picture = notebook
    assert picture == [("picture", str(curve))]
    assert ["100 %" in frame for frame in frames] == [False, False, True, True]
    for text in ("Pendulum &lt;1&gt;", "compiling &amp; so on", "-150.0", "10 / 10", "✓"):
        assert text in frames[-1]
    assert frames[-1].startswith("<pre")
    assert capfd.readouterr() == ("", "")
    with Display("title", 10, quiet=True) as display:
        display.note("compiling")
        display(whole(5, 1, -3.0))
        display.show(curve)
    assert len(notebook) == 2


def test_no_notebook_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_notebook()
    terminal: Any = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    for shell in (None, SimpleNamespace()):  # IPython imported by others, and its terminal
        terminal.get_ipython = lambda shell=shell: shell
        assert not in_notebook()


class Tee:
    """What programs put in place of stderr: it writes, and knows nothing else."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...


def test_any_stderr_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (Tee(), None):
        for stdout in (stream, closed):
            monkeypatch.setattr(sys, "stderr", stream)
            monkeypatch.setattr(sys, "stdout", stdout)
            with Display("a run", 100) as display:
                display(whole(50, 1, 3.0))
                display.warn("warning: something")
            monkeypatch.undo()
        if stream is not None:
            assert "3.0" in stream.text
            assert "warning: something" in stream.text
