"""The admin port: JSON for a gateway's owner.

It uses `state` and the folder's files, like the command line, and stores nothing itself.
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
    """The objects that the admin port uses."""

    folder: Folder
    settings: GatewaySettings
    state: ControlState
    watched: WatchedTerms
    findings: Findings

    def take_effect(self) -> None:
        """Wait until recorded changes are in force. Raises: NotInForce if that takes too long."""
        version = self.state.version()
        wait_until_in_force(self.folder, version, self.state.put_back())
        if self.state.fleet is not None:
            wait_for_fleet(self.state.fleet, version)

    def takes_effect(self) -> bool:
        """Do the same; return whether every worker applies the change."""
        try:
            self.take_effect()
        except NotInForce:
            return False
        return True
