"""An account's volume among accounts of its own kind: a rank, as a p-value.

Null: within a kind of use the accounts are exchangeable; the account, not the window, is the unit.
Source: Vovk, Gammerman and Shafer 2005, conformal p-values: (1 + those at least as large) / (n + 1).
"""

from collections import defaultdict

import numpy as np
import pyarrow as pa

from stillwatch.features.kinds import KindOfUse

LEAST_PEERS = 9  # with fewer, the smallest p-value would exceed one in ten: then all accounts are the peers


def volume_p_values(features: pa.Table, kinds: dict[int, KindOfUse]) -> list[float]:
    """One p-value per row of the feature table, by the busiest day."""
    peak = features["peak_day"].to_numpy()
    groups: dict[str, list[int]] = defaultdict(list)
    for k, code in enumerate(features["account"].to_pylist()):
        groups[kinds[code].kind if code in kinds else "unknown"].append(k)
    all_peaks = np.sort(peak)
    p_values = [1.0] * len(peak)
    for rows in groups.values():
        values = np.sort(peak[rows]) if len(rows) > LEAST_PEERS else all_peaks
        for k in rows:
            above = len(values) - np.searchsorted(values, peak[k])  # including itself
            p_values[k] = float(above / len(values))
    return p_values
