"""docs/studies.md from the answers of all studies, with their figures in docs/images.

    python benchmarks/studies.py [--studies studies]

Each study is done before, with `ddpg study NAME`.
"""

import argparse
import re
from pathlib import Path
from textwrap import fill

from PIL import Image

from ddpg.studies.catalogue import STUDIES

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """# Studies

The tutorial article argues more than it computes.
Each study takes one of its sentences, trains with and without, and answers in numbers.

```sh
ddpg study
ddpg study ideas
```

The first command lists the studies.
The second does one, and leaves a folder with its section of this page, its tables as CSV,
its figure, and the runs themselves, which `ddpg report` and `ddpg plot` read.
A study that was stopped goes on with the same command.
`--steps` and `--seeds` make it smaller;
`noise` and `frequency` need 12 000 steps, since the preset `article` learns from step 10 000 on.

Returns are greedy, from 100 fixed starts of Pendulum:
interquartile mean over seeds, 95 % bootstrap interval.
Bands are those intervals, and the dashed line is the best return from the same starts.
The figures are from Python 3.11 and jax 0.10 on two cores; other digits come from other machines,
since rounding differs and training amplifies it.
[benchmarks/studies.py](../benchmarks/studies.py) writes this page.
The relatives in `lineage` and `dimensions` are described in [relatives.md](relatives.md).
"""


def section(name: str, answer: str) -> str:
    """The answer of one study, a level deeper and with its figures in images/."""
    title, *rest = answer.splitlines()
    text = "\n".join(_broken(line) for line in rest).replace("](", "](images/study_")
    return f"## {name}\n\n**{title.removeprefix('# ')}**\n{text}\n"


def _broken(line: str) -> str:
    """Prose with one sentence per line, and long ones broken at words; Chinese at its commas and stops."""
    if line.startswith(("|", "!", "`")):
        return line
    if line.startswith("> "):
        return "\n".join(f"> {part}" for part in re.findall(r".+?(?:[。，]|……|$)", line[2:]))
    return "\n".join(fill(each, 98, break_long_words=False) for each in line.replace(". ", ".\n").splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=Path, default=Path("studies"))
    args = parser.parse_args()
    sections = list[str]()
    for name in STUDIES:
        folder = args.studies / name
        sections.append(section(name, (folder / "answer.md").read_text(encoding="utf-8")))
        for figure in folder.glob("*.png"):
            image = Image.open(figure).convert("RGB").quantize(160)
            image.save(DOCS / "images" / f"study_{figure.name}", optimize=True)
    (DOCS / "studies.md").write_text("\n".join([HEAD, *sections]), encoding="utf-8")


if __name__ == "__main__":
    main()
