"""Traffic Light Protocol 2.0: to whom a receiver may pass something on. Receivers must enforce it themselves.

Source: FIRST, TLP 2.0 (2022-08); OASIS CTI, "TLP 2.0 markings for STIX 2.1" (2022-10-01): ids and extension.
"""

from enum import StrEnum
from typing import Any

from stillwatch.cases.exports import ExportError

EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
CREATED = "2022-10-01T00:00:00.000Z"


class Tlp(StrEnum):
    """The five marks, the most open first."""

    CLEAR = "clear"
    GREEN = "green"
    AMBER = "amber"
    STRICT = "amber+strict"
    RED = "red"


IDS = {
    Tlp.CLEAR: "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    Tlp.GREEN: "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    Tlp.AMBER: "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    Tlp.STRICT: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    Tlp.RED: "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
MARK_OF = {id: mark for mark, id in IDS.items()}
OLD_IDS = (  # TLP 1.0, STIX 2.1 section 7.2.1.4
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
)


def mark(name: str) -> Tlp:
    """Parse a mark as people write it. RED is refused: it is for named persons, not for machines.

    >>> mark("TLP:AMBER+STRICT").value, mark("green").value
    ('amber+strict', 'green')
    """
    text = name.strip().lower().removeprefix("tlp:").replace(" ", "").replace("_", "+")
    text = "amber+strict" if text in ("strict", "amber-strict") else text
    if text not in set(Tlp):
        raise ExportError(f"{name!a} is no mark of TLP 2.0; give clear, green, amber or amber+strict")
    if text == Tlp.RED:
        raise ExportError(
            "TLP:RED is for the ears of named persons: nothing is exported under it; tell them yourself, or "
            "choose another mark"
        )
    return Tlp(text)


def marking(tlp: Tlp) -> dict[str, Any]:
    """Return the STIX object of a mark, exactly as OASIS publishes it, for every bundle."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": IDS[tlp],
        "created": CREATED,
        "name": f"TLP:{tlp.value.upper()}",
        "extensions": {EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp.value}},
    }
