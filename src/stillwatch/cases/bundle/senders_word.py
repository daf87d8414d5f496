"""Lists the parts of an evidence bundle that are its sender's word alone. Standard library only.

This file travels in each bundle, beside `recompute.py`. The owner of the key can write other values into
these places and make everything else anew to fit, without a contradiction. `benchmarks/tamper_bundle.py`
tries every place of a bundle: whatever stays sound is in this list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# what is the sender's word -> its places; everything below such a place is included
WORDS: Mapping[str, str] = {
    "what each exchange was, and who sent it when; sign-up, organisation, payment and names of accounts": """
        events.ndjson; accounts.ndjson; finding.json: campaign/finding/accounts; alert.json: accounts""",
    "what all other accounts come to": "population.json",
    "which files were scanned, what they came to, where they have gaps": """
        settings.json; alert.json: inputs; alert.json: scanned; alert.json: gaps; alert.json: source""",
    "that the log has no other limits than those stated": "alert.json: cannot_claim",
    "who did what when: the trail is its owner's, and no witness of it is asked here": """
        audit.ndjson; audit_head.json; case.json: acts; alert.json: found_us""",
    "of a case with several findings, what the earlier ones took": "case.json: hours",
    "how often such alarms were right at the sender's": "alert.json: confidence",
    "which case goes on with this actor": "alert.json: merged_into",
    "a finding's number, which means nothing outside the sender's house": """
        alert.json: campaign; alert.json: finding; finding.json: id; finding.json: campaign/finding/id;
        finding.json: campaign/evidence/id""",
    "which machine and which versions wrote it, and its clock": "environment.json; alert.json: stillwatch",
    "numbers and names in the sentences of reasons, links and honest explanations, that no claim repeats": """
        finding.json: campaign/finding/reasons/#/text; finding.json: campaign/finding/benign_alternatives;
        finding.json: campaign/evidence/links; finding.json: campaign/evidence/next_milestone;
        alert.json: why/#/text; alert.json: benign; alert.json: links; alert.json: shared;
        alert.json: exposure/next_milestone""",
    "whether the accounts hold a permission for such use": "finding.json: campaign/finding/suppressed_by",
    "how strongly each account by itself is tied": "finding.json: campaign/evidence/own_ties",
    "which accounts are tied firmly, of those whose links would do": "finding.json: campaign/evidence/firm",
    "when each account was named": "finding.json: campaign/evidence/named_at",
    "the size of answer in which half of the tokens stand": "finding.json: campaign/evidence/answer_tokens",
    "what the alarm's test counted": "finding.json: campaign/evidence/tested",
    "what each reason measured, and the same of all accounts": """
        alert.json: why/#/actual; alert.json: why/#/baseline; alert.json: why/#/peer_p95;
        finding.json: campaign/evidence/reasons/#/actual; finding.json: campaign/evidence/reasons/#/baseline;
        finding.json: campaign/evidence/reasons/#/population_p95""",
    "whom the finding set aside, as far as set_aside.json does not name them": "alert.json: set_aside",
    "what victims and cleared accounts sent": """
        alert.json: exposure/victims_exchanges; alert.json: exposure/cleared_exchanges""",
}


def list_places(names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the places of a bundle's files that are its sender's word, and the lines that list them."""
    places: dict[str, str] = {}
    lines = ["the sender's word alone, which nothing in a bundle can bear out:"]
    for words, text in WORDS.items():
        found = [place for place in map(str.strip, text.split(";")) if place.partition(":")[0] in names]
        places.update(dict.fromkeys(found, words))
        lines += [f"  {words} ({', '.join(found)})"] if found else []
    return places, lines


def is_senders_word(place: str, places: Mapping[str, Any]) -> bool:
    """Return whether a place is the sender's word, or lies below one that is."""
    return any(place == one or place.startswith((f"{one}/", f"{one}: ")) for one in places)
