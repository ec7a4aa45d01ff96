"""Findings and advice as a page to read, and as plain data."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ddpg.config.config import Config
from ddpg.doctor.advice import Advice, options_text, percent
from ddpg.doctor.examine import Findings
from ddpg.doctor.rehearse import Duration, roughly
from ddpg.terminal import thousands

SHOWN = 24  # components of an observation up to which the page has a row for each

SHOWN_IN_JSON = 1_000  # components up to which the data has numbers for each

LONG = 160  # letters of a space that are shown


def page(findings: Findings, advice: Sequence[Advice]) -> RenderableType:
    """Everything but the command to type."""
    parts: list[RenderableType] = [
        Text(f"{findings.env} · {findings.steps:,} random steps · seed {findings.seed}", "bold"),
        Text(),
        _two_columns(facts(findings)),
    ]
    if len(findings.observations.low) <= SHOWN:
        parts += [Text(), _table_of_components(findings)]
    parts.append(Text())
    for each in advice:
        mark = Text("→", "green") if each.options else Text("!", "yellow")
        options = [Text(options_text(each), "cyan")] if each.options else []
        line = Table.grid(padding=(0, 1))
        line.add_row(mark, Group(Text(each.why), *options))
        parts.append(line)
    if not advice:
        parts.append(Text("nothing to change: the defaults fit"))
    return Group(*parts, Text())


def facts(findings: Findings) -> Iterator[tuple[str, str]]:
    """Rows of a name and a fact; the name is empty if a row continues the one above."""
    stats, rewards = findings.observations, findings.rewards
    yield "observations", _shortened(findings.observation_space)
    remark = f", {len(findings.constant)} never change" if findings.constant else ""
    moving = [std for i, std in enumerate(stats.std) if i not in set(stats.constant)]
    if len(moving) > 1:
        remark += f"; std {min(moving):.3g} to {max(moving):.3g}, {stats.orders:.1f} orders of magnitude"
    span = f"from {min(stats.low):.4g} to {max(stats.high):.4g}"
    yield "", f"in ddpg {findings.obs_shape} {findings.obs_dtype}, {span}{remark}"
    yield "actions", _shortened(findings.action_space)
    yield "", f"in ddpg ({len(findings.action_low)},) in [-1, 1]; {_bounds(findings)}"
    yield "reward", f"mean {rewards.mean:.4g}, std {rewards.std:.4g}, from {rewards.low:.4g} to {rewards.high:.4g}"
    yield "", f"largest magnitude {rewards.largest:.4g}, 0 in {percent(rewards.zeros)}"
    if (steady := findings.steady) is not None:
        ends = f", terminated {steady.terminated} episodes" if steady.terminated else ""
        yield "", f"noise that keeps its direction met up to {steady.largest:.4g} in {steady.steps:,} steps{ends}"
    if findings.lengths:
        low, middle, high = min(findings.lengths), findings.length, max(findings.lengths)
        span = f"{low:,} steps" if low == high else f"{low:,} to {high:,} steps, median {middle:,.0f}"
        yield "episodes", f"{len(findings.lengths)} of {span}"
        both = f", {findings.both} of them both" if findings.both else ""
        yield "", f"{findings.terminated} terminated, {findings.truncated} truncated{both}"
    else:
        yield "episodes", f"none ended in {findings.unfinished:,} steps"
    yield "time limit", f"{findings.time_limit:,} steps" if findings.time_limit else "none that Gymnasium knows of"
    same = "the same" if findings.differs_at is None else f"different from step {findings.differs_at} on"
    yield "same seed", f"two environments are {same}, in {findings.compared:,} steps"
    yield "speed", f"{findings.steps_per_second:,.0f} steps/s of the environment alone, resets included"
    yield "renders", ", ".join(findings.render_modes) or "nothing"
    if (drawn := findings.rendering) is not None and not drawn.error:
        by = f" by {drawn.backend}" if drawn.backend else ""
        yield "", f"{drawn.frames_per_second:,.0f} frames/s of {'×'.join(map(str, drawn.size[::-1]))}{by}"


def _bounds(findings: Findings) -> str:
    low, high = findings.action_low, findings.action_high
    equal = len(set(low)) == len(set(high)) == 1
    symmetry = "symmetric" if all(a == -b for a, b in zip(low, high, strict=True)) else "asymmetric"
    if equal:
        return f"in its units all within [{low[0]:g}, {high[0]:g}], {symmetry}"
    pairs = [f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True)]
    return f"in its units {' '.join(pairs[:8])}{' …' * (len(pairs) > 8)}, {symmetry}, not all equal"


def _table_of_components(findings: Findings) -> Table:
    stats = findings.observations
    names = findings.components.names
    head = "index" if names[0] == "0" else "part"
    table = Table(head, "min", "max", "mean", "std", "", box=None, header_style="dim", pad_edge=False)
    for column in table.columns[1:5]:
        column.justify = "right"
    for i, numbers in enumerate(zip(stats.low, stats.high, stats.mean, stats.std, strict=True)):
        remark = "never changes" if i in stats.constant else "leaves its bounds" if i in stats.outside else ""
        table.add_row(names[i], *(f"{number:.4g}" for number in numbers), remark)
    return table


def _two_columns(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, fact in rows:
        table.add_row(Text(name, "dim"), Text(fact))
    return table


def as_data(findings: Findings) -> dict[str, Any]:
    """Plain data; if an observation has very many components, only the range of all of them."""
    data, stats, lengths = asdict(findings), findings.observations, findings.lengths
    del data["components"]
    data["observations"]["names"] = findings.components.names
    if len(stats.low) > SHOWN_IN_JSON:
        data["observations"] = {"low": min(stats.low), "high": max(stats.high), "orders": stats.orders}
        data["observations"] |= {"constant": len(stats.constant), "outside": len(stats.outside)}
    data["lengths"] = {
        "count": len(lengths),
        "min": min(lengths, default=None),
        "median": median(lengths) if lengths else None,
        "max": max(lengths, default=None),
    }
    return data


def expectation(config: Config, duration: Duration) -> str:
    """How long a run of this configuration takes, and what that is made of."""
    evaluation = f"; evaluations take {roughly(duration.evaluation)} of it" if duration.evaluation > 10 else ""
    steps = f"{thousands(config.steps)} steps, which {duration.waits_for} limits"
    return f"about {roughly(duration.total)} here for {steps}{evaluation}"


def _shortened(space: str) -> str:
    text = " ".join(space.split())
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"
