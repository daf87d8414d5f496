"""`[live]` of a scene file read: every key known, every value checked, with its line. It plays nothing."""

from dataclasses import fields
from typing import Any

from stillwatch.errors import InputError
from stillwatch.range.live import ARMS, TEACHERS, LiveSettings
from stillwatch.range.scenes import Scene

LIMITS: dict[str, tuple[float, float]] = {
    "look_s": (5.0, 3600.0),
    "dropped": (0.0, 1.0),
    "react_s": (0.0, 604_800.0),
    "tail_days": (0.0, 14.0),
    "steps": (0, 100_000),
    "held_out": (10, 10_000),
}


def live_settings(scene: Scene) -> LiveSettings:
    """What a scene says of its live play.

    Raises: InputError with file and line: of a key, or of a campaign that cannot be played live.
    """
    given: dict[str, Any] = {key: live_value(scene, key, value) for key, value in scene.live.items()}
    if not scene.campaigns:
        raise InputError(f"{scene.place()}: no campaign; a live run needs one to take what the teacher says")
    for n, one in enumerate(scene.campaigns):
        if one.attacker != "fixed":
            raise InputError(
                f"{scene.place('campaign', n, 'attacker')}: {one.attacker!r} is not played live; leave it "
                'out, and give arms = [..., "replace"] under [live] for an attacker that goes on'
            )
    return LiveSettings(**given)


def live_value(scene: Scene, key: str, value: Any) -> Any:
    """Give one setting of [live] as it is used.

    Raises: InputError with file and line: there is none of the name, or its value will not do.
    """
    place = scene.place("live", key)
    known = [f.name for f in fields(LiveSettings)]
    if key not in known:
        raise InputError(f"{place}: live.{key}: unknown; [live] has {', '.join(known)}")
    if key == "arms":
        good = isinstance(value, list) and value and all(x in ARMS for x in value)
        if not good or len(set(value)) != len(value):
            raise InputError(f"{place}: arms is {value!r}; give some of {', '.join(ARMS)}, each once")
        return tuple(value)
    if key == "teacher":
        if value not in TEACHERS:
            raise InputError(f"{place}: teacher is {value!r}; it can be {', '.join(TEACHERS)}")
        return value
    low, high = LIMITS[key]
    whole = isinstance(low, int)
    kinds: tuple[type, ...] = (int,) if whole else (int, float)
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if not good or not low <= value <= high:
        number = "a whole number" if whole else "a number"
        raise InputError(f"{place}: {key} is {value!r}; give {number} from {low:,} to {high:,}")
    return value if whole else float(value)
