"""The policy at moments of training: films of it, and heat maps of Q and mu over all states."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ddpg.mistake import Mistake
from ddpg.records.plot import number
from ddpg.report_page import heat_maps
from ddpg.report_page.axes import framed
from ddpg.report_page.films import Film
from ddpg.report_page.heat_maps import Plane, Surface
from ddpg.report_page.history import History
from ddpg.report_page.markup import Markup, data_uri, element, joined
from ddpg.report_page.words import Say
from ddpg.terminal import plain
from ddpg.training.policy import Policy


def film_part(history: History, made: Sequence[Film], lines: Sequence[str], end: int, middle: int, say: Say) -> Markup:
    """The same episode at several moments, side by side."""
    figures = []
    for film in made:
        reached = history.return_at(film.step, history.seed)
        caption = "" if reached is None else say("mean return {x}", x=number(reached))
        title = moment(film.step, end, middle, say)
        picture = element("img", src=data_uri(film.gif, "image/gif"), alt=title, loading="lazy")
        figures.append(element("figure", picture, element("figcaption", element("b", title), element("span", caption))))
    missing = [element("p", say("No film: {why}", why=line), class_="none") for line in lines]
    about = say("One greedy episode from the same start, by the policy of seed {n}.", n=history.seed)
    return joined(
        element("p", about, class_="note") if figures else None, element("div", *figures, class_="films"), *missing
    )


def moment(step: int, end: int, middle: int, say: Say) -> str:
    """How a moment of training is called."""
    sentence = "step {n}"
    if step in (0, middle, end):
        sentence = "beginning: step {n}" if step == 0 else "end: step {n}" if step == end else "midway: step {n}"
    return say(sentence, n=number(step))


def heat_part(
    history: History, plane: Plane, moments: Mapping[int, Callable[[], Policy]], end: int, middle: int, say: Say
) -> Markup:
    """Q and mu over all states at the moments of training, beside the best there can be."""
    surfaces, config = list[Surface](), history.config
    for step, load in moments.items():
        try:
            surface = heat_maps.surface(load(), plane, config, step)
        except Mistake as error:
            return element("p", say("No heat maps: {why}", why=str(error)), class_="none")
        if surface is not None:
            surfaces.append(surface)
    if not surfaces:
        return Markup("")
    if (best := heat_maps.best_surface(config)) is not None:
        surfaces.append(best)
    low, high = heat_maps.limits(surfaces)
    bound = max(float(np.nan_to_num(np.abs([each.action for each in surfaces])).max()), 1e-6)

    def name(each: Surface) -> str:
        return say("optimum") if each.step is None else moment(each.step, end, middle, say)

    scaled = config.agent.value.scales_returns
    rows = []
    for title, unit, colours, of, (least, most) in (
        (
            "Q(s, μ(s))",
            say("of the scaled return" if scaled else "discounted reward"),
            "viridis",
            lambda x: x.value,
            (low, high),
        ),
        ("μ(s)", plane.unit, "RdBu", lambda x: x.action, (-bound, bound)),
    ):
        maps = [_heat_map(of(each), least, most, colours, plane, name(each)) for each in surfaces]
        ramp = element("img", src=data_uri(heat_maps.ramp(colours), "image/png"), alt="")
        scale = element("span", number(least), ramp, number(most), f" {unit}", class_="ramp")
        rows += [element("h4", title, scale), element("div", *maps, class_="maps")]
    about = say("Across {x}, upwards {y}; seed {n}.", x=plane.names[0], y=plane.names[1], n=history.seed)
    if best is not None:
        about += " " + say("The optimum is of the endless problem with this discount γ = {x}.", x=plain(config.gamma))
    return joined(element("p", about, class_="note"), *rows)


def _heat_map(
    numbers: np.ndarray,
    low: float,
    high: float,
    colours: str,
    plane: Plane,
    name: str,
) -> Markup:
    picture = element("img", src=data_uri(heat_maps.picture(numbers, low, high, colours), "image/png"), alt=name)
    return element("figure", framed(picture, plane.across, plane.upwards, "map"), element("figcaption", name))
