"""What is wrong with an environment, or worth a note, and no option of a run mends."""

from collections.abc import Iterator, Sequence

from ddpg.doctor.advice import Advice
from ddpg.doctor.examine import Findings
from ddpg.doctor.render import Rendering

FLUENT = 30.0  # frames per second below which a film takes long


def about_faults(findings: Findings) -> Iterator[Advice]:
    stats = findings.observations
    yield from map(Advice, _about_repetition(findings))
    if findings.seed_matters is False and not findings.reset_differs:
        yield Advice(
            "episodes are the same whatever the seed, so one is as good an evaluation as ten",
            (("eval.episodes", "1"),),
        )
    if findings.actions_matter is False:
        yield Advice(
            f"different actions gave the same observations and rewards in {findings.compared} steps: "
            "does the environment use them?"
        )
    bounds = zip(findings.action_low, findings.action_high, strict=True)
    if fixed := [i for i, (low, high) in enumerate(bounds) if low == high]:
        which = enumerated(fixed, list(map(str, range(len(findings.action_low)))))
        yield Advice(f"action {which} is fixed, since its bounds are equal; leave it out to save weights")
    if findings.constant:
        which = enumerated(findings.constant, findings.components.names)
        yield Advice(f"observation {which} never changed in {findings.steps} steps; leave it out to save weights")
    if stats.outside:
        which = enumerated(stats.outside, findings.components.names)
        yield Advice(f"observation {which} left the bounds of its space; ddpg does not use them, other tools may")
    for remark in findings.remarks:
        yield Advice(f"Gymnasium warns: {remark}")


def _about_repetition(findings: Findings) -> Iterator[str]:
    """Whether seeds do what they are for."""
    consequence = "so a run cannot be repeated or resumed exactly"
    cure = "; reset should call super().reset(seed=seed), and everything random come from self.np_random"
    if findings.differs_at == 0 and findings.global_random:
        yield f"reset(seed=...) has no effect: it draws from a global generator, {consequence}{cure}"
    elif findings.differs_at == 0:
        yield (
            f"not deterministic: two new environments with the same seed differ at their first observation, "
            f"as if reset ignored its seed, {consequence}{cure}"
        )
    elif findings.differs_at is not None:
        why = " because step draws from a global generator" if findings.global_random else ""
        yield (
            f"not deterministic: two new environments with the same seed and actions differ at step "
            f"{findings.differs_at}{why}, {consequence}{cure if why else ''}"
        )
    if findings.reset_differs and not findings.seed_matters:
        yield f"reset(seed=...) has no effect: episodes come in an order of the environment's own, {consequence}{cure}"
    elif findings.reset_differs:
        yield f"after some episodes a reset with the same seed gives another observation than before, {consequence}"


def about_rendering(rendering: Rendering | None) -> Iterator[str]:
    if rendering is None:
        yield "no render mode rgb_array, so there will be no film"
    elif rendering.error:
        yield f"drawing failed, so there will be no film: {rendering.error}"
    elif rendering.frames_per_second < FLUENT:
        by = f" by {rendering.backend}" if rendering.backend else ""
        yield f"drawing{by} makes {rendering.frames_per_second:.2g} frames per second, so a film takes long"


def enumerated(indices: Sequence[int], names: Sequence[str]) -> str:
    if len(indices) == len(names) > 1:
        return "as a whole"
    few = ", ".join(names[i] for i in indices[:8])
    return few if len(indices) <= 8 else f"{few} and {len(indices) - 8} more of {len(names)}"
