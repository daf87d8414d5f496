"""`[live]` of a scene file read, and whether its campaigns can be played live. It plays nothing."""

from stillwatch.errors import Faults, InputError
from stillwatch.range.live import LiveSettings
from stillwatch.range.scenes import Scene
from stillwatch.toml.declared import build


def live_settings(scene: Scene) -> LiveSettings:
    """What a scene says of its live play.

    Raises: InputError with file and line: of a key, or of a campaign that cannot be played live.
    """
    table = scene.table("live")
    settings = build(LiveSettings, table)
    if settings is None:
        raise Faults(table.notes.sentences())
    if not scene.campaigns:
        raise InputError(f"{scene.place()}: no campaign; a live run needs one to take what the teacher says")
    for n, one in enumerate(scene.campaigns):
        if one.attacker != "fixed":
            raise InputError(
                f"{scene.place('campaign', n, 'attacker')}: {one.attacker!r} is not played live; leave it "
                'out, and give arms = [..., "replace"] under [live] for an attacker that goes on'
            )
    return settings
