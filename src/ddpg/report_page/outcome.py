"""How a run ended, what it reached, and what went wrong."""

from collections.abc import Sequence

import numpy as np

from ddpg.records.plot import number
from ddpg.records.statistics import interval, iqm
from ddpg.report_page.history import History
from ddpg.report_page.markup import Markup, element, joined, table
from ddpg.report_page.words import Say


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
    charts = [
        (say("failure"), "bad", history.texts("failure")),
        (say("diverged"), "bad", history.texts("diverged")),
        (say("stopped"), "", history.texts("stopped")),
        (say("warning"), "", history.texts("warnings")),
        (say("start"), "calm", history.texts("start")),
    ]
    return joined(
        *(
            element("p", element("b", f"{name}: "), line, class_=f"alarm {kind}".strip())
            for name, kind, lines in charts
            for line in lines
        )
    )


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
