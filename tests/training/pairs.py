"""Few combinations of parts that have every pair of alternatives: `python -m tests.training.pairs` prints the table."""

import random
from collections.abc import Collection, Mapping
from itertools import combinations

Level = tuple[str, str]  # a part and its alternative


def covering(parts: Mapping[str, Collection[str]], never: Mapping[Level, Level], seed: int = 0) -> list[dict[str, str]]:
    """Rows with one alternative per part; together they have every pair but those that `never` maps to each other.

    Greedy, after AETG (Cohen et al. 1997): each row is the best of many, each grown part by part by the alternative
    with the most new pairs.
    """
    draw, rows = random.Random(seed), list[dict[str, str]]()
    refused = {frozenset(pair) for pair in never.items()}
    levels = [(part, name) for part, names in parts.items() for name in names]
    left = {frozenset(pair) for pair in combinations(levels, 2) if pair[0][0] != pair[1][0]} - refused

    def grown(first: Collection[Level]) -> dict[str, str]:
        row = dict(first)
        for part in draw.sample([part for part in parts if part not in row], len(parts) - len(row)):
            allowed = [
                n for n in parts[part] if not any(frozenset([(part, n), other]) in refused for other in row.items())
            ]
            gains = {n: sum(frozenset([(part, n), other]) in left for other in row.items()) for n in allowed}
            row[part] = draw.choice([n for n in allowed if gains[n] == max(gains.values())])
        return row

    def new(row: Mapping[str, str]) -> set[frozenset[Level]]:
        return {frozenset(pair) for pair in combinations(row.items(), 2)} & left

    while left:
        begin = draw.choice(sorted(map(sorted, left)))
        row = max((grown(begin) for _ in range(200)), key=lambda row: len(new(row)))
        rows.append(row)
        left -= new(row)
    return rows


if __name__ == "__main__":
    from tests.training.test_probes import NEVER, PARTS

    rows = min((covering(PARTS, NEVER, seed) for seed in range(20)), key=len)
    for part, names in PARTS.items():
        assert len(names) <= 10, "one digit for each"
        print(f'    "{part}": "{"".join(str(list(names).index(row[part])) for row in rows)}",')
