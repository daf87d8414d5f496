"""Describes the content of a bundle in sentences, for a person to read before the release."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillwatch.cases.bundle.claimed import NOT_BORNE_OUT
from stillwatch.cases.bundle.gather import Gathered
from stillwatch.cases.evidence import inputs_of


def leaving(
    evidence: Mapping[str, Any], files: Mapping[str, bytes], gathered: Gathered | None, who: str
) -> tuple[str, ...]:
    """Describe what a release would disclose."""
    size = sum(map(len, files.values()))
    lines = [
        f"case {evidence['case']}: {evidence['title']}",
        f"{len(files) + 1} files, {size:,} bytes, signed with the audit trail's key",
        f"the names of {evidence['members']:,} accounts, and of who worked on the case ({who} among them)",
    ]
    if "set_aside.json" in files:
        aside = json.loads(files["set_aside.json"])["accounts"]
        lines.append(
            f"the names of {len(aside):,} accounts that nobody accuses: they were set aside, with the facts "
            "that this rests on"
        )
    elif evidence["set_aside"]:
        lines.append(f"{sum(evidence['set_aside'].values()):,} accounts that were set aside are not named")
    if "holds.json" in files and json.loads(files["holds.json"])["key"] is not None:
        lines.append("the key by which holds of these accounts were drawn: their schedule has ended")
    if gathered is None:
        lines.append("no events: no log was given, so that no claim can be computed again (--log)")
    else:
        lines.append(
            f"{len(gathered.events):,} exchanges of {len(gathered.accounts):,} accounts: times, "
            "model, settings, sizes; texts, networks, clients, organisations, payment as tokens under a "
            "key that stays here"
        )
        judged = Counter(item["verdict"] for item in gathered.accounts if item["verdict"] is not None)
        lines += [
            f"{count:,} of these accounts are judged {word}, and marked so" for word, count in judged.items()
        ]
        lines.append("of all other accounts: counts")
    claims = [json.loads(line) for line in files["claims.ndjson"].splitlines()]
    others = [item for item in claims if item["why_not"] is not None]
    lines.append(
        f"{len(claims) - len(others)} claims that the checker computes again, {len(others)} that it cannot"
    )
    differ = [item["name"] for item in others if item["why_not"].startswith(NOT_BORNE_OUT)]
    if differ:
        lines.append(
            f"the log given does not bear out: {', '.join(differ)}; is it the one that was scanned? "
            "verify.py will not call this bundle SOUND"
        )
    lines.append("no prompt, no answer, no address, no note or appeal")
    return tuple(lines)


def whether_scanned(inputs: Sequence[Mapping[str, Any]], logs: Sequence[Path]) -> tuple[str, ...]:
    """Report whether the logs and the accounts table are the files that the scan read, by their hashes."""
    if not logs:
        return ()
    scanned = {item["sha256"] for item in inputs}
    given_digests = {item.sha256 for item in inputs_of(logs)}
    if not scanned:
        return ("which files were scanned is not on record: whether these are them cannot be said",)
    if given_digests == scanned:
        return ("the log given is the one that was scanned, file for file",)
    return (
        f"the log given is NOT the one that was scanned: {len(scanned - given_digests)} of its files are "
        f"missing, {len(given_digests - scanned)} are others",
    )
