"""The findings and the advice as a page, and as plain data."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ddpg.doctor.advise import Advice, _options, _share
from ddpg.doctor.examine import Findings, Observations

LISTED = 24  # components of an observation up to which every one is shown; in JSON up to LISTED_IN_JSON

LISTED_IN_JSON = 1_000

LONG = 160  # letters of a space that are shown


def page(found: Findings, advice: Sequence[Advice]) -> RenderableType:
    """Everything for a reader, but the command to type."""
    parts: list[RenderableType] = [
        Text(f"{found.env} · {found.steps:,} random steps · seed {found.seed}", "bold"),
        Text(),
        _rows(_facts(found)),
    ]
    if len(found.observations.low) <= LISTED:
        parts += [Text(), _observations(found.observations)]
    parts.append(Text())
    for each in advice:
        mark, options = ("→", Text(_options(each), "cyan")) if each.options else ("!", Text())
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(mark, "green" if each.options else "yellow"), Group(Text(each.why), *[options] * bool(options))
        )
        parts.append(line)
    if not advice:
        parts.append(Text("nothing to change: the defaults fit"))
    return Group(*parts, Text())


def _facts(found: Findings) -> Iterator[tuple[str, str]]:
    seen, reward = found.observations, found.rewards
    yield "observations", _brief(found.observation_space)
    constant = f", {len(seen.constant)} never change" if seen.constant else ""
    moving = [s for i, s in enumerate(seen.std) if i not in set(seen.constant)]
    if len(moving) > 1:
        constant += f"; std {min(moving):.3g} to {max(moving):.3g}, {seen.orders:.1f} orders of magnitude"
    yield "", f"to ddpg {found.obs_shape} {found.obs_dtype}, from {min(seen.low):.4g} to {max(seen.high):.4g}{constant}"
    yield "actions", _brief(found.action_space)
    yield "", f"to ddpg ({len(found.action_low)},) in [-1, 1]; {_bounds(found)}"
    yield "reward", f"mean {reward.mean:.4g}, std {reward.std:.4g}, from {reward.low:.4g} to {reward.high:.4g}"
    yield "", f"largest in size {reward.largest:.4g}, 0 in {_share(reward.zeros)}"
    if found.lengths:
        low, middle, high = min(found.lengths), found.length, max(found.lengths)
        span = f"{low:,} steps" if low == high else f"{low:,} to {high:,} steps, median {middle:,.0f}"
        yield "episodes", f"{len(found.lengths)} of {span}"
        both = f", {found.both} of them both" if found.both else ""
        yield "", f"{found.terminated} terminated, {found.truncated} truncated{both}"
    else:
        yield "episodes", f"none ended in {found.unfinished:,} steps"
    yield "time limit", f"{found.time_limit:,} steps" if found.time_limit else "none that Gymnasium knows of"
    same = "the same" if found.differs_at is None else f"different from step {found.differs_at} on"
    yield "same seed", f"two environments are {same}, in {found.compared:,} steps"
    yield "speed", f"{found.steps_per_second:,.0f} steps/s of the environment alone, resets included"
    yield "draws", ", ".join(found.render_modes) or "nothing"


def _bounds(found: Findings) -> str:
    low, high = found.action_low, found.action_high
    equal = len(set(low)) == len(set(high)) == 1
    kind = "symmetric" if all(a == -b for a, b in zip(low, high, strict=True)) else "asymmetric"
    if equal:
        return f"in its units all within [{low[0]:g}, {high[0]:g}], {kind}"
    pairs = [f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True)]
    return f"in its units {' '.join(pairs[:8])}{' …' * (len(pairs) > 8)}, {kind}, not all equal"


def _observations(seen: Observations) -> Table:
    table = Table("index", "min", "max", "mean", "std", "", box=None, header_style="dim", pad_edge=False)
    for column in table.columns[:5]:
        column.justify = "right"
    for i, numbers in enumerate(zip(seen.low, seen.high, seen.mean, seen.std, strict=True)):
        remark = "never changes" if i in seen.constant else "leaves its bounds" if i in seen.outside else ""
        table.add_row(str(i), *(f"{number:.4g}" for number in numbers), remark)
    return table


def _rows(facts: Iterator[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, fact in facts:
        table.add_row(Text(name, "dim"), Text(fact))
    return table


def as_data(found: Findings) -> dict[str, Any]:
    """Plain data; of observations of very many components only the range of all."""
    data, seen = asdict(found), found.observations
    if len(seen.low) > LISTED_IN_JSON:
        data["observations"] = {"low": min(seen.low), "high": max(seen.high), "orders": seen.orders}
        data["observations"] |= {"constant": len(seen.constant), "outside": len(seen.outside)}
    lengths = found.lengths
    data["lengths"] = (
        {"count": len(lengths), "min": min(lengths), "median": median(lengths), "max": max(lengths)}
        if lengths
        else {"count": 0, "min": None, "median": None, "max": None}
    )
    return data


def _brief(space: str) -> str:
    text = " ".join(space.split())
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"
