"""MITRE ATLAS: standard names of attacks and responses, for exchange between tools.

Names and ids as of ATLAS 5.6.0 (2026).
"""

from dataclasses import dataclass

VERSION = "5.6.0"
SITE = "https://atlas.mitre.org"


@dataclass(frozen=True)
class Technique:
    """One technique, or a sub-technique (its id has one more dot)."""

    id: str
    name: str
    tactic: str
    of: str | None = None  # name of the technique that it belongs to

    @property
    def url(self) -> str:
        return f"{SITE}/techniques/{self.id}"


_TECHNIQUES = (
    Technique("AML.T0008.005", "AI Service Proxies", "Resource Development", "Acquire Infrastructure"),
    Technique("AML.T0021", "Establish Accounts", "Resource Development"),
    Technique("AML.T0012", "Valid Accounts", "Initial Access"),
    Technique("AML.T0065", "LLM Prompt Crafting", "Resource Development"),
    Technique("AML.T0040", "AI Model Inference API Access", "AI Model Access"),
    Technique("AML.T0024.002", "Extract AI Model", "Exfiltration", "Exfiltration via AI Inference API"),
    Technique("AML.T0005.001", "Train Proxy via Replication", "AI Attack Staging", "Create Proxy AI Model"),
    Technique("AML.T0048.004", "AI Intellectual Property Theft", "Impact", "External Harms"),
    Technique("AML.T0034", "Cost Harvesting", "Impact"),
)
TECHNIQUES = {one.id: one for one in _TECHNIQUES}
TACTICS = {
    "Resource Development": "AML.TA0003",
    "Initial Access": "AML.TA0004",
    "AI Model Access": "AML.TA0000",
    "AI Attack Staging": "AML.TA0001",
    "Exfiltration": "AML.TA0010",
    "Impact": "AML.TA0011",
}


def technique(id: str) -> Technique:
    """Return a technique; one that is not in the table gets its id as name."""
    return TECHNIQUES.get(id) or Technique(id, id, "")
