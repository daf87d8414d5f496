"""The admin port: what an owner asks of a running gateway and tells it, as JSON. It serves no client.

Everything goes through `state` and the folder's files, as the command line does; it holds nothing itself.
"""

from dataclasses import dataclass

from stillwatch.gateway.control.in_force import NotInForce, wait_for_fleet, wait_until_in_force
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.terms.reload import WatchedTerms


@dataclass(frozen=True)
class Desk:
    """What the admin port works with."""

    folder: Folder
    settings: GatewaySettings
    state: ControlState
    watched: WatchedTerms
    findings: Findings

    def take_effect(self) -> None:
        """Wait until what is written down is in force. Raises: NotInForce where it is not in a moment."""
        version = self.state.version()
        wait_until_in_force(self.folder, version, self.state.put_back())
        if self.state.fleet is not None:
            wait_for_fleet(self.state.fleet, version)

    def takes_effect(self) -> bool:
        """Do the same, and say whether every worker applies the change."""
        try:
            self.take_effect()
        except NotInForce:
            return False
        return True
