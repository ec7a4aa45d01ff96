"""The diagrams of the tutorials as SVG, in English and in Chinese: what an agent and its environment exchange, the
behaviour policy, and the nine steps.

    python benchmarks/diagrams.py [--out docs/images]

Each is a picture on a light background of its own, so that it is read in dark mode too. It has no font of its own:
a browser takes the reader's. In labels `_` and `^` lower and raise what follows, in braces if it is longer than one
character.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from xml.sax.saxutils import escape

LANGUAGES = ("en", "zh")
FONTS = "system-ui,'Segoe UI','PingFang SC','Microsoft YaHei','Noto Sans CJK SC','WenQuanYi Micro Hei',sans-serif"
INK, PALE, EDGE = "#1f2328", "#59636e", "#afb8c1"
BLUE, VIOLET, GREEN, AMBER, GREY = "#ddf4ff", "#fbefff", "#dafbe1", "#fff8c5", "#f6f8fa"

Label = str | tuple[str, str]  # the same in all languages, or English and Chinese
Point = tuple[float, float]


class Canvas:
    """SVG elements one after the other, with labels in one language."""

    def __init__(self, language: str, width: int, height: int, title: Label) -> None:
        self.language, self.width, self.height, self.title = LANGUAGES.index(language), width, height, title
        self.elements = list[str]()

    def of(self, label: Label) -> str:
        return label if isinstance(label, str) else label[self.language]

    def text(
        self, x: float, y: float, label: Label, size: float = 16, color: str = INK, anchor: str = "middle"
    ) -> None:
        self.elements.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{color}" text-anchor="{anchor}" '
            f'xml:space="preserve">{marked_up(self.of(label), size)}</text>'
        )

    def box(self, x: float, y: float, w: float, h: float, color: str, *lines: Label, size: float = 16) -> None:
        """A rounded box with its lines in its middle."""
        self.elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="8" fill="{color}" stroke="{EDGE}"/>'
        )
        for i, line in enumerate(lines):
            self.text(x + w / 2, y + h / 2 + size * (0.35 + 1.45 * (i - (len(lines) - 1) / 2)), line, size)

    def circle(self, x: float, y: float, r: float, color: str, label: Label, size: float = 18) -> None:
        self.elements.append(f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" fill="{color}" stroke="{EDGE}"/>')
        self.text(x, y + 0.35 * size, label, size)

    def step(self, x: float, y: float, number: int) -> None:
        """The number of one of the nine steps."""
        self.elements.append(f'<circle cx="{x:g}" cy="{y:g}" r="12" fill="{INK}"/>')
        self.text(x, y + 5, str(number), 14, "#ffffff")

    def line(self, *points: Point, color: str = INK, width: float = 1.6, head: bool = True, dash: str = "") -> None:
        """Through the points, with an arrow's head at the last."""
        path = " ".join(f"{x:.5g},{y:.5g}" for x, y in points)
        extras = ' marker-end="url(#head)"' * head + f' stroke-dasharray="{dash}"' * bool(dash)
        self.elements.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width:g}"{extras}/>'
        )

    def svg(self) -> str:
        size = f'width="{self.width}" height="{self.height}"'
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" {size} '
                f'font-family="{FONTS}" role="img">',
                f"<title>{escape(self.of(self.title))}</title>",
                '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
                f'orient="auto-start-reverse"><path d="M0,1 L10,5 L0,9 z" fill="{INK}"/></marker></defs>',
                f'<rect x="0.5" y="0.5" width="{self.width - 1}" height="{self.height - 1}" rx="10" fill="#ffffff" '
                'stroke="#d1d9e0"/>',
                *self.elements,
                "</svg>\n",
            )
        )


def marked_up(label: str, size: float) -> str:
    """`s_{t+1}` with its index lowered and `θ^μ` with its exponent raised."""
    result, shift = "", 0.0
    for plain, mark, long, short in re.findall(r"([^_^]+)|([_^])(?:\{([^}]*)\}|(.))", label):
        wanted = {"_": 0.28, "^": -0.38}.get(mark, 0.0) * size
        dy = f' dy="{wanted - shift:.4g}"' if wanted != shift else ""
        small = f' font-size="{0.72 * size:.4g}"' if mark else ""
        result += f"<tspan{dy}{small}>{escape(plain or long or short)}</tspan>"
        shift = wanted
    return result


def states(c: Canvas) -> None:
    """What agent and environment exchange, step by step."""
    for i, index in enumerate(("t", "t+1", "t+2")):
        x, after = 90 + 290 * i, f"t+{i + 1}"
        c.circle(x, 110, 42, BLUE, f"s_{{{index}}}", 22)
        c.line((x + 42, 110), (x + 248 - 110 * (i == 2), 110))
        if i < 2:
            c.text(x + 145, 94, f"a_{{{index}}}", 20)
            c.text(x + 145, 140, f"r_{{{index}}} = r(s_{{{index}}}, a_{{{index}}})", 17)
            c.text(x + 145, 60, (f"the agent acts: a_{{{index}}}", f"智能体执行动作 a_{{{index}}}"), 14, PALE)
            c.text(x + 145, 166, (f"reward, next state s_{{{after}}}", f"奖励，下一状态 s_{{{after}}}"), 14, PALE)
    c.text(825, 116, "…", 24)
    c.text(
        430,
        216,
        (
            "R_t = r_t + γ r_{t+1} + γ^2 r_{t+2} + …: discounted future reward",
            "R_t = r_t + γ r_{t+1} + γ^2 r_{t+2} + …：折扣累积奖励（回报）",
        ),
        18,
    )


def path_of_noise(theta: float, steps: int = 90) -> list[float]:
    """Numbers of variance 1, each 1 − theta of the one before: independent with theta 1, else Ornstein-Uhlenbeck."""
    random, keep = Random(3), 1 - theta
    result = [random.gauss(0, 1)]
    for _ in range(steps - 1):
        result.append(keep * result[-1] + (1 - keep**2) ** 0.5 * random.gauss(0, 1))
    return result


def behaviour(c: Canvas) -> None:
    """β = μ + noise while training, and μ alone in evaluation; below, both kinds of noise over time."""
    y = 120
    c.circle(60, y, 34, BLUE, "s_t", 20)
    c.line((94, y), (150, y))
    c.box(150, y - 38, 170, 76, BLUE, ("policy network", "策略网络"), "μ(s | θ^μ)")
    c.line((320, y), (428, y))
    c.text(374, y - 10, "μ(s_t)", 17)
    c.circle(450, y, 22, GREY, "+", 24)
    c.box(370, 20, 160, 44, AMBER, ("noise 𝒩_t", "噪声 𝒩_t"))
    c.line((450, 64), (450, y - 22))
    c.line((472, y), (530, y))
    c.box(530, y - 26, 120, 52, GREY, ("clip to ±1", "截断到 ±1"))
    c.line((650, y), (740, y))
    c.text(694, y - 10, "a_t", 18)
    c.box(740, y - 38, 120, 76, GREEN, ("environment", "环境"))
    c.line((374, y), (374, y + 62), (800, y + 62), (800, y + 38), dash="6 5", color=PALE)
    c.text(
        586,
        y + 84,
        ("evaluation: greedy, without noise, a_t = μ(s_t)", "评估：贪心，不加噪声，a_t = μ(s_t)"),
        14,
        PALE,
    )
    c.text(
        20,
        y + 84,
        ("training: behaviour policy β, a_t = μ(s_t) + 𝒩_t", "训练：行为策略 β，a_t = μ(s_t) + 𝒩_t"),
        14,
        anchor="start",
    )
    panels: Sequence[tuple[float, Label]] = (
        (1.0, ("Gaussian: independent at every step", "高斯噪声：每一步相互独立")),
        (0.15, ("Ornstein-Uhlenbeck: keeps its direction for some steps", "OU 噪声：在若干步内保持方向（时间相关）")),
    )
    for i, (theta, label) in enumerate(panels):
        left, middle = 20 + 425 * i, 310
        c.box(left, middle - 70, 415, 140, GREY)
        c.line((left, middle), (left + 415, middle), color=EDGE, head=False)
        points = [(left + 10 + 4.43 * step, middle - 20 * x) for step, x in enumerate(path_of_noise(theta))]
        c.line(*points, color="#0969da", width=1.4, head=False)
        c.text(left + 207, middle + 92, label, 14)


def nine_steps(c: Canvas) -> None:
    """The article's block diagram: environment, memory, four networks, and the order in which they are used."""
    c.box(30, 40, 200, 80, GREEN, ("environment", "环境"), "Gymnasium")
    c.box(400, 40, 250, 80, BLUE, ("behaviour policy β", "行为策略 β"), "a_t = μ(s_t) + 𝒩_t")
    c.line((400, 62), (230, 62))
    c.step(315, 40, 1)
    c.text(340, 46, "a_t", 17, anchor="start")
    c.line((230, 98), (400, 98))
    c.step(278, 118, 2)
    c.text(300, 124, "r_t, s_{t+1}", 17, anchor="start")

    c.box(30, 290, 200, 100, AMBER, ("replay memory R", "经验回放池 R"), "(s_t, a_t, r_t, s_{t+1})")
    c.line((130, 120), (130, 290))
    c.step(130, 190, 3)
    c.text(150, 196, ("store", "存入"), 15, anchor="start")

    c.box(350, 160, 570, 150, "#ffffff")
    c.text(366, 182, ("Actor", "Actor（策略网络）"), 15, PALE, "start")
    c.box(400, 200, 200, 76, BLUE, ("online network", "当前网络 online"), "μ(s | θ^μ)")
    c.box(700, 200, 200, 76, BLUE, ("target network", "目标网络 target"), "μ′(s | θ^{μ′})")
    c.line((525, 200), (525, 120), dash="6 5", color=PALE)
    c.text(535, 146, ("acts with the newest θ^μ", "用最新的 θ^μ 选动作"), 13, PALE, "start")

    c.box(350, 440, 570, 150, "#ffffff")
    c.text(366, 578, ("Critic", "Critic（Q 网络）"), 15, PALE, "start")
    c.box(400, 464, 200, 76, VIOLET, ("online network", "当前网络 online"), "Q(s, a | θ^Q)")
    c.box(700, 464, 200, 76, VIOLET, ("target network", "目标网络 target"), "Q′(s, a | θ^{Q′})")

    c.line((230, 340), (290, 340), (290, 238), (400, 238))
    c.line((290, 340), (290, 502), (400, 502))
    c.step(262, 340, 4)
    c.text(284, 418, ("minibatch of N", "小批量（N 条）"), 15, anchor="end")
    c.text(322, 230, "s_i", 16)
    c.text(320, 494, "s_i, a_i", 16)

    for y in (238, 502):
        c.line((600, y), (700, y))
        c.step(650, y - 22, 9)
        c.text(650, y + 22, ("soft update, τ", "软更新 τ"), 13, PALE)

    c.box(400, 344, 270, 64, GREY, ("policy gradient (3)", "策略梯度 (3)"), "∇J ≈ 1/N Σ ∇_aQ · ∇_θμ", size=15)
    c.line((450, 464), (450, 408))
    c.text(460, 432, "∇_aQ(s_i, μ(s_i))", 15, anchor="start")
    c.step(388, 376, 7)
    c.line((450, 344), (450, 276))
    c.step(432, 328, 8)
    c.text(460, 332, "Adam ↑ θ^μ", 15, anchor="start")

    c.line((800, 276), (800, 464))
    c.text(810, 376, "μ′(s_{i+1})", 16, anchor="start")

    c.box(
        400, 626, 500, 74, GREY, "y_i = r_i + γ Q′(s_{i+1}, μ′(s_{i+1}))  (2)", "L = 1/N Σ (y_i − Q(s_i, a_i))^2  (1)"
    )
    c.line((800, 540), (800, 626))
    c.text(810, 616, "Q′", 16, anchor="start")
    c.step(388, 663, 5)
    c.line((500, 626), (500, 540))
    c.step(482, 610, 6)
    c.text(510, 616, "Adam ↓ θ^Q", 15, anchor="start")
    c.line((130, 390), (130, 663), (376, 663))
    c.text(140, 655, "r_i, s_{i+1}", 16, anchor="start")


DIAGRAMS: dict[str, tuple[Callable[[Canvas], None], int, int, Label]] = {
    "state_transitions": (states, 860, 245, ("State transitions", "状态转换图")),
    "behaviour_policy": (behaviour, 880, 420, ("The behaviour policy", "行为策略")),
    "nine_steps": (nine_steps, 950, 725, ("The nine steps of DDPG", "DDPG 的九个步骤")),
}


def drawn(name: str, language: str) -> str:
    draw, width, height, title = DIAGRAMS[name]
    canvas = Canvas(language, width, height, title)
    draw(canvas)
    return canvas.svg()


def files() -> dict[str, str]:
    """The SVG of every file, by its name."""
    return {f"{name}.{language}.svg": drawn(name, language) for name in DIAGRAMS for language in LANGUAGES}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    for name, svg in files().items():
        (args.out / name).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
