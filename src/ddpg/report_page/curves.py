"""What was logged, drawn: the learning curve, and what happened inside the update."""

from collections.abc import Sequence

import numpy as np

from ddpg.report_page.charts import chart, drawn
from ddpg.report_page.history import History
from ddpg.report_page.markup import Markup, element, joined
from ddpg.report_page.words import Say

CHARTS = (  # key in the log, title, what it is
    ("q", "Q value", "Q(s, a), mean over minibatches"),
    ("critic_loss", "critic loss", "equation (1), mean over updates"),
    ("dq_da", "|∇ₐQ|", "slope of Q at a = μ(s)"),
    ("saturation", "saturation", "share of actions at a bound"),
    ("q_bias", "bias of Q", "Q(s₀, μ(s₀)) minus the return that follows"),
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
        panels.append(chart([curve], say("last half"), optimum=optimum, log=False, first=half))
    return joined(legend(what), element("div", *panels, class_="panels" if len(panels) > 1 else "panel"))


def legend(lines: Sequence[tuple[str, str]]) -> Markup:
    """What the lines of a chart are, by their class."""
    return element("ul", *(element("li", swatch(class_), text) for class_, text in lines), class_="legend")


def swatch(class_: str) -> Markup:
    line = element("path", d="M0 6H24" if "band" not in class_ else "M0 1H24V11H0Z", class_=class_)
    return element("svg", line, class_="swatch", viewBox="0 0 24 12", aria_hidden="true")


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
