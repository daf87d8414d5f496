"""The admin port: what an owner asks of a running gateway and tells it, as JSON. It serves no client.

Everything goes through `state` and the folder's files, as the command line does; it holds nothing itself.
"""

from dataclasses import dataclass

from stillwatch.gateway.control.state import State
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.settings import Settings
from stillwatch.terms.reload import Watched


@dataclass(frozen=True)
class Desk:
    """What the admin port works with."""

    folder: Folder
    settings: Settings
    state: State
    watched: Watched
    findings: Findings
