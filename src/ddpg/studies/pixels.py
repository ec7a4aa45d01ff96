"""States or pictures: what it costs to learn from what a camera sees."""

from ddpg.studies.figure import curves_panel, save_panels
from ddpg.studies.study import Answer, Bench, Size, Study
from ddpg.studies.trainings import SOLVED, Trained, Variant, returns_table, trained

PICTURES = {"pixels": "drawn", "checkpoint.share": None}
VARIANTS = [
    Variant("state", {}),
    Variant("three pictures", PICTURES, "pixels"),
    Variant("one picture", PICTURES | {"stack": 1}, "pixels"),
]


def experiment(bench: Bench) -> Answer:
    rows = trained(bench, VARIANTS)
    save_panels(
        bench.folder / "pixels.png",
        [curves_panel("Pendulum", [row.curve for row in rows], optimum=rows[0].optimum)],
    )
    return Answer(verdict(rows), [returns_table(rows, SOLVED)], ["pixels.png"])


def verdict(rows: list[Trained]) -> str:
    state, three, one = (row.end for row in rows)
    return (
        f"From its state Pendulum is learned to {state}, from three pictures in a row to {three}; a single picture "
        f"does not show how fast the pendulum turns, and ends at {one}."
    )


STUDY = Study(
    name="pixels",
    question="State or pictures?",
    original="agent 观察到的环境状态，比如观察到的环境图像……采用卷积神经网络作为策略函数 μ 和 Q 函数的模拟。",
    claim=(
        "The article lets the agent observe pictures and calls both networks convolutional; its code has numbers and "
        "dense layers."
    ),
    minutes=10,
    size=Size(steps=20_000, seeds=2),
    experiment=experiment,
)
