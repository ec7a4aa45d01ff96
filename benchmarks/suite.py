"""How long the test suite takes, before and after a change: a table of what pytest printed.

In each of two checkouts, one after the other on one machine, `pytest --durations=40 > FILE`; then
python benchmarks/suite.py BEFORE AFTER -o benchmarks/results/suite.md
"""

import argparse
import re
from itertools import zip_longest
from pathlib import Path

SLOW = re.compile(r"^(\d+\.\d+)s (setup|call|teardown) +(\S.*)$", re.MULTILINE)
END = re.compile(r"^=* ?(\d+ passed.*?) in (\d+\.\d+)s", re.MULTILINE)


def table(before: str, after: str) -> str:
    (passed_before, seconds_before), (passed_after, seconds_after) = (END.findall(text)[-1] for text in (before, after))
    share = float(seconds_after) / float(seconds_before)
    lines = [
        "# Time of the test suite",
        "",
        f"Before: {passed_before} in {seconds_before} s. After: {passed_after} in {seconds_after} s, {share:.2f} times",
        "The slowest parts of each, in seconds; files run side by side, one process per core.",
        "",
        "| Before | | After | |",
        "|---:|---|---:|---|",
    ]
    for one, other in zip_longest(SLOW.findall(before), SLOW.findall(after), fillvalue=("", "", "")):
        cells = [cell for seconds, part, test in (one, other) for cell in (seconds, f"{test.replace('|', '/')} {part}")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("-o", dest="output", type=Path, required=True)
    args = parser.parse_args()
    args.output.write_text(table(args.before.read_text(), args.after.read_text()))


if __name__ == "__main__":
    main()
