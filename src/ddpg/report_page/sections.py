"""What the page says of one run, part by part."""

import shlex
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ddpg.config.config import Config
from ddpg.config.differences import differences
from ddpg.config.presets import PRESETS
from ddpg.config.reading import values
from ddpg.environment import has_id, split_id, was_stepped
from ddpg.mistake import Mistake
from ddpg.records.plot import number
from ddpg.records.statistics import interval, iqm
from ddpg.report_page import heat_maps
from ddpg.report_page.axes import framed
from ddpg.report_page.charts import chart, drawn
from ddpg.report_page.films import Film
from ddpg.report_page.heat_maps import Plane, Surface
from ddpg.report_page.history import History
from ddpg.report_page.markup import Markup, data_uri, element, joined, table
from ddpg.report_page.words import Say
from ddpg.terminal import plain
from ddpg.training.moments import moment_steps
from ddpg.training.policy import Policy

CHARTS = (  # key in the log, title, what it is
    ("q", "Q value", "Q(s, a), mean over minibatches"),
    ("critic_loss", "critic loss", "equation (1), mean over updates"),
    ("dq_da", "|∇ₐQ|", "slope of Q at a = μ(s)"),
    ("saturation", "saturation", "share of actions at a bound"),
    ("q_bias", "bias of Q", "Q(s₀, μ(s₀)) minus the return that follows"),
)


def ended(history: History, say: Say) -> str:
    """How the run ended, in a few words."""
    steps, all_steps = number(history.steps), number(history.config.steps)
    if history.status == "running":
        return say("training now, at step {n} of {all}", n=steps, all=all_steps)
    if not history.summary:
        return say("its end was not written; the log ends at step {n} of {all}", n=steps, all=all_steps)
    if history.texts("failure"):
        return say("failed at step {n} of {all}", n=steps, all=all_steps)
    if history.texts("stopped"):
        return say("stopped by an observer at step {n} of {all}", n=steps, all=all_steps)
    if history.summary.get("interrupted"):
        return say("interrupted at step {n} of {all}", n=steps, all=all_steps)
    return say("finished: {n} steps", n=steps)


def returned(returns: Sequence[float], say: Say) -> Markup:
    """The interquartile mean, and its 95 % interval if there are several."""
    array = np.array(returns, float)
    low, high = (float(x[0]) for x in interval(array[:, None]))
    middle = float(iqm(array))
    if not np.isfinite(middle):
        return joined(say("unknown"))
    around = element("span", f"[{number(low)}, {number(high)}]", class_="interval") if np.isfinite(low) else None
    return joined(number(middle), " " if around else None, around)


def facts(history: History, say: Say) -> Markup:
    """The numbers that matter, in large."""
    best, config = history.best(), history.config
    shown = [(say("how it ended"), ended(history, say))]
    if best:
        last = [last for *_, last in best]
        shown.append((say("last return"), returned(last, say)))
        shown.append((say("best return"), returned([value for _, value, _, _ in best], say)))
        if history.optimum is not None:
            below = returned([history.optimum - value for value in last], say)
            shown.append((say("last, below the optimum {n}", n=number(history.optimum)), below))
    if (rate := history.number("steps_per_second")) is not None:
        shown.append((say("steps per second"), number(round(rate))))
    if (wall := history.number("wall_seconds")) is not None:
        shown.append((say("wall time"), duration(wall)))
    seeds = f"{config.seed_range[0]}–{config.seed_range[-1]}" if config.seeds > 1 else str(config.seed)
    shown.append((say("seeds"), seeds))
    return element("dl", *(element("div", element("dt", name), element("dd", x)) for name, x in shown), class_="facts")


def duration(seconds: float) -> str:
    """Of a run: 41.3 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min {int(seconds % 60)} s" if minutes < 60 else f"{number(minutes // 60)} h {minutes % 60} min"


def alarms(history: History, say: Say) -> Markup:
    """What went wrong, in the program's own words."""
    found = [
        (say("failure"), "bad", history.texts("failure")),
        (say("diverged"), "bad", history.texts("diverged")),
        (say("stopped"), "", history.texts("stopped")),
        (say("warning"), "", history.texts("warnings")),
        (say("start"), "calm", history.texts("start")),
    ]
    return joined(
        *(
            element("p", element("b", f"{name}: "), line, class_=f"alarm {kind}".strip())
            for name, kind, lines in found
            for line in lines
        )
    )


def learning(history: History, say: Say) -> Markup:
    """The whole story, and its last half magnified."""
    curve = drawn(history.curve(say("return")))
    if curve is None:
        return element("p", say("No greedy return was logged, so there is no learning curve."), class_="none")
    optimum, steps, last = history.optimum, curve.curve.steps, float(curve.curve.steps[-1])
    many = len(curve.curve.returns)
    what = [("mean c0", say("interquartile mean over {n} seeds", n=many) if many > 1 else say("greedy return"))]
    if many > 1:
        what += [("band c0", say("95 % bootstrap interval")), ("seed c0", say("each seed"))]
    if optimum is not None:
        what.append(("optimum", say("optimum from the same starts")))
    half = float(steps[np.searchsorted(steps, last / 2)])
    panels = [chart([curve], say("whole run"), optimum=optimum, log=False, end=last)]
    if half < last:
        panels.append(chart([curve], say("last half"), optimum=optimum, log=False, whole=False, first=half))
    return joined(legend(what), element("div", *panels, class_="panels" if len(panels) > 1 else "panel"))


def legend(lines: Sequence[tuple[str, str]]) -> Markup:
    """What the lines of a chart are, by their class."""
    return element("ul", *(element("li", swatch(class_), text) for class_, text in lines), class_="legend")


def swatch(class_: str) -> Markup:
    line = element("path", d="M0 6H24" if "band" not in class_ else "M0 1H24V11H0Z", class_=class_)
    return element("svg", line, class_="swatch", viewBox="0 0 24 12", aria_hidden="true")


def seeds_table(history: History, say: Say) -> Markup:
    """Best and last returns of each seed, and over all of them."""
    rows, optimum = history.best(), history.optimum
    head = [say("seed"), say("best return"), say("at step"), say("last return")]
    head += [] if optimum is None else [say("last, below the optimum")]
    lines = [
        [str(seed), *_known(say, best), number(step) if np.isfinite(best) else "", *_known(say, last)]
        + ([] if optimum is None else _known(say, optimum - last))
        for seed, best, step, last in rows
    ]
    if len(rows) > 1:
        last = [row[3] for row in rows]
        middle = [say("IQM [95 %]"), returned([row[1] for row in rows], say), "", returned(last, say)]
        lines.append(middle + ([] if optimum is None else [returned([optimum - x for x in last], say)]))
    about = say("The best of many evaluations is partly luck: to compare policies, evaluate them anew.")
    return joined(table(head, lines), element("p", about, class_="note"))


def _known(say: Say, *numbers: float) -> list[str]:
    return [number(x) if np.isfinite(x) else say("unknown") for x in numbers]


def insight(history: History, say: Say) -> Markup:
    """The article's three charts, and two more."""
    panels = []
    for key, title, what in CHARTS:
        curve = drawn(history.curve(say(title), key)) if any(key in record for record in history.records) else None
        if curve is not None:
            panels.append(chart([curve], say(title), note=say(what), seeds=False))
    if not panels:
        return element("p", say("No update was made, so nothing of the critic is known."), class_="none")
    return element("div", *panels, class_="charts")


def film_part(history: History, made: Sequence[Film], lines: Sequence[str], end: int, say: Say) -> Markup:
    """The same episode at several moments, side by side."""
    figures = []
    for film in made:
        reached = history.return_at(film.step, history.seed)
        told = "" if reached is None else say("mean return {x}", x=number(reached))
        title = moment(film.step, end, history.config, say)
        picture = element("img", src=data_uri(film.gif, "image/gif"), alt=title, loading="lazy")
        figures.append(element("figure", picture, element("figcaption", element("b", title), element("span", told))))
    missing = [element("p", say("No film: {why}", why=line), class_="none") for line in lines]
    about = say("One greedy episode from the same start, by the policy of seed {n}.", n=history.seed)
    return joined(
        element("p", about, class_="note") if figures else None, element("div", *figures, class_="films"), *missing
    )


def moment(step: int, end: int, config: Config, say: Say) -> str:
    """How a moment of training is called."""
    if step == 0:
        return say("beginning: step {n}", n=0)
    if step == end:
        return say("end: step {n}", n=number(step))
    return (
        say("midway: step {n}", n=number(step)) if step >= moment_steps(config)[-1] else say("step {n}", n=number(step))
    )


def heat_part(
    history: History, plane: Plane, moments: Mapping[int, Callable[[], Policy]], end: int, say: Say
) -> Markup:
    """Q and mu over all states at the moments of training, beside the best there can be."""
    surfaces, config = list[Surface](), history.config
    for step, load in moments.items():
        try:
            found = heat_maps.surface(load(), plane, config, step)
        except Mistake as error:
            return element("p", say("No heat maps: {why}", why=str(error)), class_="none")
        if found is not None:
            surfaces.append(found)
    if not surfaces:
        return Markup("")
    if (best := heat_maps.best_surface(config)) is not None:
        surfaces.append(best)
    low, high = heat_maps.limits(surfaces)
    bound = max(float(np.nanmax(np.abs([each.action for each in surfaces]))), 1e-6)
    rows = []
    for title, unit, colours, of, (least, most) in (
        ("Q(s, μ(s))", say("discounted reward"), "viridis", lambda x: x.value, (low, high)),
        ("μ(s)", plane.unit, "RdBu", lambda x: x.action, (-bound, bound)),
    ):
        maps = [_heat_map(each, of(each), least, most, colours, plane, end, config, say) for each in surfaces]
        ramp = element("img", src=data_uri(heat_maps.ramp(colours), "image/png"), alt="")
        scale = element("span", number(least), ramp, number(most), f" {unit}", class_="ramp")
        rows += [element("h4", title, scale), element("div", *maps, class_="maps")]
    about = say("Across {x}, upwards {y}; seed {n}.", x=plane.names[0], y=plane.names[1], n=history.seed)
    if best is not None:
        about += " " + say("The optimum is of the endless problem with this discount γ = {x}.", x=plain(config.gamma))
    return joined(element("p", about, class_="note"), *rows)


def _heat_map(
    surface: Surface,
    numbers: np.ndarray,
    low: float,
    high: float,
    colours: str,
    plane: Plane,
    end: int,
    config: Config,
    say: Say,
) -> Markup:
    name = say("optimum") if surface.step is None else moment(surface.step, end, config, say)
    picture = element("img", src=data_uri(heat_maps.picture(numbers, low, high, colours), "image/png"), alt=name)
    return element("figure", framed(picture, plane.across, plane.upwards, "map"), element("figcaption", name))


def settings(history: History, say: Say) -> Markup:
    """What was chosen, with the preset's value beside; and everything, folded."""
    config = history.config
    if config.preset in PRESETS:
        found = differences(config, was_stepped(config))
        rows = [
            [element("code", path), plain(x.own), "–" if x.usual is None else plain(x.usual)]
            for path, x in found.items()
        ]
        if rows:
            own = table([say("setting"), say("here"), say("preset {name}", name=config.preset)], rows, "settings")
        else:
            own = element("p", say("All settings are those of the preset {name}.", name=config.preset))
    else:
        own = element("p", say("The preset {name} is none of ours; all settings are below.", name=config.preset))
    whole = [[element("code", path), plain(value)] for path, value in values(config).items()]
    folded = element(
        "details", element("summary", say("all settings")), table([say("setting"), say("here")], whole, "settings")
    )
    packages = "  ·  ".join(f"{name} {version}" for name, version in history.versions.items())
    return joined(own, folded, element("p", say("Versions: {list}", list=packages or say("unknown")), class_="note"))


def commands(history: History, say: Say) -> Markup:
    """What one can do with the run next, as it is typed."""
    folder, config = history.folder, history.config
    done = history.steps >= config.steps and folder.finished()
    if not has_id(config.env):
        lines = [
            folder.resume_command(config, 2 * config.steps if done else None),
            f"ddpg.evaluate({str(folder)!r}, env=...)",
            f"policy = ddpg.load({str(folder)!r})",
        ]
    else:
        run = shlex.quote(str(folder))
        own = f" --env {shlex.quote(config.env)}" if ":" in split_id(config.env)[1] else ""
        lines = [
            folder.resume_command(config, 2 * config.steps if done else None),
            f"ddpg eval {run}{own} --episodes 100",
            f"ddpg eval {run}{own} --best --video best.gif",
            f"ddpg export {run} --format onnx",
        ]
    return element("pre", "\n".join(lines))
