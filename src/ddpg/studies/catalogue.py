"""The studies by their names."""

from collections.abc import Mapping
from difflib import get_close_matches

from ddpg.mistake import Mistake
from ddpg.studies import frequency, ideas, noise, pixels
from ddpg.studies.study import Study

STUDIES: Mapping[str, Study] = {
    study.name: study for study in (ideas.STUDY, noise.STUDY, frequency.STUDY, pixels.STUDY)
}


def by_name(name: str) -> Study:
    """The study of this name. Mistake, with the nearest, if there is none."""
    if name in STUDIES:
        return STUDIES[name]
    near = get_close_matches(name, STUDIES, n=1)
    raise Mistake(f"study {name}: expected {', '.join(STUDIES)}{f'; did you mean {near[0]}?' if near else ''}")
