"""The whole page: its head, an overview of several runs, and a section for each."""

from collections.abc import Callable, Mapping, Sequence
from importlib import resources

import numpy as np

from ddpg.environment import EnvironmentLike, split_id
from ddpg.records.plot import number
from ddpg.report_page.charts import Drawn, chart, drawn
from ddpg.report_page.curves import insight, learning, legend
from ddpg.report_page.films import films
from ddpg.report_page.heat_maps import plane_of
from ddpg.report_page.history import History
from ddpg.report_page.looking_back import film_part, heat_part
from ddpg.report_page.markup import Markup, element, joined, table
from ddpg.report_page.outcome import alarms, duration, ended, facts, returned, seeds_table
from ddpg.report_page.settings import commands, settings
from ddpg.report_page.words import LANGUAGES, Say
from ddpg.training.moments import midway, moments_of
from ddpg.training.policy import Policy
from ddpg.version import __version__

LARGEST = 5_000_000  # bytes of a page
APART = 250_000  # bytes of a run's section without its films
MAPS = 7  # moments of a run that have heat maps
FILMS = 3  # of each run: at the beginning, midway and at the end
# A page loads nothing and runs nothing, whatever a run folder may have put into it.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(
    histories: Sequence[History],
    language: str = "en",
    env: EnvironmentLike | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> str:
    """HTML that needs no other file; `env` as in `films`, `note` is called with a line before what takes seconds."""
    say, several = Say(language), len(histories) > 1
    share = 0.95 * LARGEST / len(histories) - APART
    film_limit = int(0.75 * share / FILMS)  # base64 takes 4 bytes for 3
    parts = [
        section(history, say, env, film_limit, note, f"run-{i}" if several else None)
        for i, history in enumerate(histories, start=1)
    ]
    title = say("{n} runs", n=len(histories)) if several else histories[0].name
    about = [
        element("h1", title),
        element(
            "p",
            *([] if several else [subtitle(histories[0], say), " · "]),
            say("written by ddpg {version}", version=__version__),
        ),
        element(
            "p", say("Shown: greedy returns of the deterministic policy, without exploration noise."), class_="note"
        ),
    ]
    body = element("main", element("header", *about), overview(histories, say) if several else None, *parts)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", f"{title} · ddpg"),
        element("style", Markup(style())),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang=LANGUAGES[language])}\n"


def style() -> str:
    return resources.files("ddpg.report_page").joinpath("style.css").read_text(encoding="utf-8")


def subtitle(history: History, say: Say) -> str:
    config = history.config
    seeds = say("1 seed") if config.seeds == 1 else say("{n} seeds", n=config.seeds)
    return f"{config.preset} · {config.env} · {seeds}"


def section(
    history: History,
    say: Say,
    env: EnvironmentLike | None,
    film_limit: int,
    note: Callable[[str], None],
    anchor: str | None,
) -> Markup:
    """Everything about one run; with an `anchor` it is one of several, and has a heading of its own."""
    end = history.networks_step
    moments = moments_of(history.folder, history.config, history.seed, end)
    middle = midway(history.config, moments)
    shown = {step: moments[step] for step in dict.fromkeys([min(moments), middle, end])}
    made, missing = films(history, shown, env, film_limit, note)
    plane = plane_of(history.config)
    heading = (
        [] if anchor is None else [element("h2", history.name), element("p", subtitle(history, say), class_="note")]
    )
    parts = [
        (say("Learning curve"), learning(history, say)),
        (say("Returns"), seeds_table(history, say) if history.records else None),
        (say("Inside the update"), insight(history, say)),
        (say("Film"), film_part(history, made, missing, end, middle, say)),
        (
            say("Value and policy over all states"),
            None if plane is None else heat_part(history, plane, few(moments, middle), end, middle, say),
        ),
        (say("Settings"), settings(history, say)),
        (say("How to go on"), commands(history, say)),
    ]
    said = [joined(element("h3", name), part) for name, part in parts if part]
    return element("section", *heading, facts(history, say), alarms(history, say), *said, id=anchor)


def few(moments: Mapping[int, Callable[[], Policy]], middle: int) -> dict[int, Callable[[], Policy]]:
    """At most MAPS of them, in order: the first, the last, the middle one, and others evenly between."""
    steps = sorted(moments)
    chosen = {steps[round(i)] for i in np.linspace(0, len(steps) - 1, min(MAPS, len(steps)))}
    if middle not in chosen:
        chosen = chosen - {min(chosen - {steps[0], steps[-1]}, key=lambda step: abs(step - middle))} | {middle}
    return {step: moments[step] for step in sorted(chosen)}


def overview(histories: Sequence[History], say: Say) -> Markup:
    """All curves in one chart per environment, and a row for each run, which leads to its section."""
    charts = []
    for name in dict.fromkeys(split_id(history.config.env)[1] for history in histories):
        among = [(i, history) for i, history in enumerate(histories) if split_id(history.config.env)[1] == name]
        curves = [found for i, each in among if (found := drawn(each.curve(each.name), i)) is not None]
        optima = {history.optimum for _, history in among}
        optimum = optima.pop() if len(optima) == 1 else None
        lines = [
            (f"mean c{each.colour % 8}{' dashed' if each.colour >= 8 else ''}", each.curve.label) for each in curves
        ]
        lines += [] if optimum is None else [("optimum", say("optimum"))]
        if curves:
            panels = [
                chart(curves, say("whole run"), note=name, optimum=optimum, log=False),
                chart(curves, say("last half"), note=name, optimum=optimum, log=False, first=_half(curves)),
            ]
            charts += [legend(lines), element("div", *panels, class_="panels")]
    head = [say("run"), say("environment"), say("seeds"), say("last return"), say("best return")]
    head += [say("steps per second"), say("wall time"), say("how it ended")]
    rows = [_row(f"run-{i}", history, say) for i, history in enumerate(histories, start=1)]
    return element("section", element("h2", say("Overview")), *charts, table(head, rows), id="overview")


def _half(curves: Sequence[Drawn]) -> float:
    """The first step of the later half of the longest curve."""
    steps = max((each.curve.steps for each in curves), key=lambda steps: steps[-1])
    return float(steps[steps >= steps[-1] / 2][0])


def _row(anchor: str, history: History, say: Say) -> list[object]:
    best, config = history.best(), history.config
    rate, wall = history.number("steps_per_second"), history.number("wall_seconds")
    return [
        element("a", history.name, href=f"#{anchor}"),
        joined(config.env, " ", element("span", config.preset, class_="interval")),
        str(config.seeds),
        returned([last for *_, last in best], say) if best else "",
        returned([value for _, value, _, _ in best], say) if best else "",
        "" if rate is None else number(round(rate)),
        "" if wall is None else duration(wall),
        ended(history, say),
    ]
