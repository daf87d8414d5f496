"""The naive pool, with its questions where a recorder may not look.

Knows: that a log of prompts may hold the last message of the user and no more. Does: the same as `naive`,
with each question in one `place` of the request (a tool's result, before a constant last message, the system
message, a prompt's variable, an answer never given). Cannot: hide the question from the model.
Source: an attack on this project, 2026 (`evade_capture.py`), against which nothing of such a pool was named.
"""

from dataclasses import dataclass, replace

from stillwatch.range.attackers.naive import MEANS
from stillwatch.range.attackers.play import Crews
from stillwatch.range.attackers.repeated import RepeatingAttacker

NAME = "hidden"


@dataclass(frozen=True)
class Settings:
    """The place of the questions."""

    place: str = "tool_result"

    def __post_init__(self) -> None:
        replace(MEANS, place=self.place)  # raises an error for an unknown place


def begin(crews: Crews, settings: Settings) -> RepeatingAttacker:
    """Begin a campaign."""
    return RepeatingAttacker(crews, replace(MEANS, place=settings.place))
