"""The features of an account, one entry each.

A feature is an expression over *states*: whole numbers per account. There are sums over exchanges (named in
the entry itself), counts per value of a column (`DIMENSIONS`), and the rhythm (counts per hour and day,
squared gaps; see states.py). To add a feature, add one entry.
"""

from dataclasses import dataclass

FIXED_POINT = 2**26  # logarithms are summed as whole multiples of 1/FIXED_POINT: exact in any order


@dataclass(frozen=True)
class Feature:
    """One column of the feature table.

    `sql` is in DuckDB's dialect, as far as sqlglot can translate it to ClickHouse. `sums` are the states it
    needs besides the shared ones: (name, whole-number expression over one exchange).
    """

    name: str
    unit: str  # count, share, bits, tokens, us, words or ratio
    doc: str
    sql: str
    sums: tuple[tuple[str, str], ...] = ()

    @property
    def is_whole(self) -> bool:
        """Return whether the values are whole numbers."""
        return self.unit in ("count", "us") or self.name.endswith("put_tokens")


@dataclass(frozen=True)
class Dimension:
    """A column whose values are counted per account; `absent` is the SQL for a missing value."""

    column: str
    absent: str | None = None


DIMENSIONS = (
    Dimension("head", "head = 0"),
    Dimension("tail", "tail = 0"),
    Dimension("exact"),
    Dimension("system", "system = 0"),
    Dimension("model", "model < 0"),
    Dimension("net", "net < 0"),
    Dimension("agent", "agent < 0"),
    Dimension("cell"),
    Dimension("end_user", "end_user = 0"),
    Dimension("conversation", "conversation = 0"),
    Dimension("max_tokens", "max_tokens < 0"),
)


def flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def total(name: str, unit: str, doc: str, value: str) -> Feature:
    """Return a sum over exchanges."""
    return Feature(name, unit, doc, f"sum_{name}", ((f"sum_{name}", value),))


def share(name: str, doc: str, condition: str, known: str | None = None) -> Feature:
    """Return the share of exchanges that meet `condition`, among those where it is `known`; null if never."""
    stem = name.removesuffix("_share")
    sums: tuple[tuple[str, str], ...] = ((f"is_{stem}", flag(condition)),)
    if known is None:
        return Feature(name, "share", doc, f"is_{stem} / exchanges", sums)
    sums += ((f"known_{stem}", flag(known)),)
    return Feature(name, "share", doc, ratio(f"is_{stem}", f"known_{stem}"), sums)


def values(name: str, column: str, doc: str) -> Feature:
    """Return the number of different values of a column in an account."""
    return Feature(name, "count", doc, f"{column}_values")


def top_share(name: str, column: str, doc: str) -> Feature:
    """Return the share of all exchanges with the account's most common value of a column."""
    return Feature(name, "share", doc, f"{column}_top / exchanges")


def ratio(above: str, below: str) -> str:
    return f"CASE WHEN {below} > 0 THEN {above} / {below} ELSE NULL END"


def fixed_point(value: str, scale: int = FIXED_POINT) -> str:
    return f"CAST(FLOOR({value} * {scale} + 0.5) AS BIGINT)"


def n_log_n(n: str) -> str:
    """n log2 n in fixed point. The logarithm is rounded first, since engines differ in its last bit."""
    return f"{n} * {fixed_point(f'LOG2({n})')}"


def class_share(bit: int, name: str, doc: str) -> Feature:
    """Return the share of exchanges in a lexical class; by remainder, as `&` is not portable."""
    return share(f"{name}_share", doc, f"classes % {2 << bit} >= {1 << bit}")


def _entropy(sum_n_log_n: str) -> str:
    """Return the entropy, in bits, of an account's exchanges over values."""
    return f"({n_log_n('exchanges')} - ({sum_n_log_n})) / {FIXED_POINT} / exchanges"


HOURS = [f"hour_{h}" for h in range(24)]
SIZED = "status = 200 AND output_tokens >= 0"
# wide before the addition: one log line with the largest count must not end a scan
LOG_OUT = "LOG2(CAST(CASE WHEN output_tokens >= 0 THEN output_tokens ELSE 0 END AS BIGINT) + 1)"
LOG_SUMS = (("sized", flag(SIZED)), ("log_out", f"CASE WHEN {SIZED} THEN {fixed_point(LOG_OUT)} ELSE 0 END"))
COARSE = 2**13  # its square has FIXED_POINT's bits
COARSE_LOG_OUT = fixed_point(LOG_OUT, COARSE)
LOG_MEAN = f"(log_out / sized / {FIXED_POINT})"
GAP_MEAN = "((last_us - first_us) / 10000 / (exchanges - 1))"  # in hundredths of a second, like gap_squares

FEATURES = (
    # volume and times
    Feature("exchanges", "count", "Exchanges, whatever their status.", "exchanges"),
    total("answered", "count", "Exchanges answered with status 200.", flag("status = 200")),
    total(
        "output_tokens",
        "tokens",
        "Output tokens of answered exchanges (unknown counts as 0).",
        "CASE WHEN status = 200 AND output_tokens > 0 THEN output_tokens ELSE 0 END",
    ),
    total(
        "input_tokens",
        "tokens",
        "Input tokens of all exchanges (unknown counts as 0).",
        "CASE WHEN input_tokens > 0 THEN input_tokens ELSE 0 END",
    ),
    Feature("first_us", "us", "Time of the first exchange, UTC microseconds.", "first_us"),
    Feature("last_us", "us", "Time of the last exchange, UTC microseconds.", "last_us"),
    Feature("active_days", "count", "UTC days with at least one exchange.", "active_days"),
    Feature("active_hours", "count", "UTC hours with at least one exchange.", "active_hours"),
    Feature("peak_day", "count", "Most exchanges in any one UTC day.", "peak_day"),
    Feature("peak_hour", "count", "Most exchanges in any one UTC hour.", "peak_hour"),
    Feature(
        "gap_cv",
        "ratio",
        "Coefficient of variation of the gaps between exchanges: 0 a clock, 1 chance, above 1 bursts. "
        "A gap of over 30 days counts as 30; null below 3 exchanges.",
        f"CASE WHEN exchanges < 3 OR last_us = first_us THEN NULL ELSE SQRT(GREATEST("
        f"gap_squares / (exchanges - 1) - {GAP_MEAN} * {GAP_MEAN}, 0)) / {GAP_MEAN} END",
    ),
    Feature(
        "hour_entropy_bits",
        "bits",
        "Evenness over the 24 hours of the day: 4.58 is flat.",
        _entropy(" + ".join(f"CASE WHEN {h} > 0 THEN {n_log_n(h)} ELSE 0 END" for h in HOURS)),
    ),
    Feature(
        "quiet_6h_share",
        "share",
        "Exchanges in the account's own quietest 6 hours of the day in a row: 0.25 is flat, 0 sleeps.",
        "LEAST("
        + ", ".join("(" + " + ".join(HOURS[(h + k) % 24] for k in range(6)) + ")" for h in range(24))
        + ") / exchanges",
    ),
    # end users and conversations
    share("follow_up_share", "Exchanges that are not the first turn.", "turn > 1", known="turn > 0"),
    values("end_users", "end_user", "Different end users named."),
    share("end_user_share", "Exchanges that name an end user.", "end_user <> 0"),
    values("conversations", "conversation", "Different conversations."),
    Feature(
        "exchanges_per_conversation",
        "ratio",
        "Exchanges that name a conversation, per conversation.",
        ratio("conversation_n", "conversation_values"),
    ),
    # wording
    share("system_share", "Exchanges with a system text.", "system <> 0"),
    values("systems", "system", "Different system texts, slots removed."),
    top_share("top_system_share", "system", "Exchanges with the commonest system text."),
    values("heads", "head", "Different beginnings (six masked tokens)."),
    top_share("top_head_share", "head", "Exchanges with the commonest beginning."),
    top_share("top_tail_share", "tail", "Exchanges with the commonest ending."),
    Feature(
        "distinct_prompt_share",
        "share",
        "Different prompts per exchange: 1 never repeats.",
        "exact_values / exchanges",
    ),
    top_share("top_prompt_share", "exact", "Exchanges with the commonest exact prompt."),
    Feature(
        "repeats_across_accounts",
        "share",
        "Exchanges whose exact prompt at least one other account sent too.",
        "exact_shared / exchanges",
    ),
    values("cells", "cell", "Different topic cells."),
    Feature(
        "cell_entropy_bits",
        "bits",
        "Evenness over topic cells; at most log2 of exchanges.",
        f"GREATEST({_entropy('cell_nlogn')}, 0)",
    ),
    Feature(
        "words_mean",
        "words",
        "Mean tokens of the prompt.",
        "sum_words / exchanges",
        (("sum_words", "words"),),
    ),
    class_share(0, "trace_elicitation", "Exchanges that ask for the reasoning itself."),
    class_share(1, "rubric_grading", "Exchanges that ask for grades or preferences."),
    class_share(2, "hidden_prompt_extraction", "Exchanges that ask for hidden instructions or reasoning."),
    class_share(3, "task_generation", "Exchanges that ask for new tasks or questions."),
    class_share(4, "machine_wrapper", "Exchanges that demand the answer in tags or JSON."),
    class_share(5, "roleplay", "Exchanges that set up a role or persona."),
    # outcome
    share("refusal_share", "Exchanges refused or filtered.", "finish = 3"),
    share("truncated_share", "Exchanges cut at the length limit.", "finish = 2"),
    share("tool_call_share", "Exchanges that end in a tool call.", "finish = 4"),
    share("error_share", "Exchanges with status 400 or above, throttling included.", "status >= 400"),
    share("throttled_share", "Exchanges with status 429.", "status = 429"),
    Feature(
        "log2_output_mean",
        "bits",
        "Mean log2 of (output tokens + 1) of answered exchanges.",
        f"CASE WHEN sized > 0 THEN {LOG_MEAN} ELSE NULL END",
        LOG_SUMS,
    ),
    Feature(
        "log2_output_sd",
        "bits",
        "Standard deviation of the same (accurate to 0.001).",
        "CASE WHEN sized > 0 THEN SQRT(GREATEST(log_out_squares / sized "
        f"- (log_out_coarse / sized) * (log_out_coarse / sized), 0)) / {COARSE} ELSE NULL END",
        (
            LOG_SUMS[0],
            ("log_out_coarse", f"CASE WHEN {SIZED} THEN {COARSE_LOG_OUT} ELSE 0 END"),
            ("log_out_squares", f"CASE WHEN {SIZED} THEN {COARSE_LOG_OUT} * {COARSE_LOG_OUT} ELSE 0 END"),
        ),
    ),
    share("reasoning_share", "Exchanges with reasoning tokens.", "reasoning_tokens > 0"),
    Feature(
        "reasoning_token_share",
        "share",
        "Reasoning tokens per output token, over exchanges that state both.",
        ratio("reasoning", "reasoning_out"),
        (
            (
                "reasoning",
                "CASE WHEN reasoning_tokens > 0 AND output_tokens > 0 THEN reasoning_tokens ELSE 0 END",
            ),
            (
                "reasoning_out",
                "CASE WHEN reasoning_tokens >= 0 AND output_tokens > 0 THEN output_tokens ELSE 0 END",
            ),
        ),
    ),
    # form of the request
    share("logprob_share", "Exchanges that ask for log-probabilities.", "top_logprobs > 0"),
    share("tools_share", "Exchanges that offer tools.", "tools > 0", known="tools >= 0"),
    share("json_share", "Exchanges that demand JSON by parameter.", "json_format = 1"),
    share("stream_share", "Exchanges that stream.", "stream = 1", known="stream >= 0"),
    share("temperature_zero_share", "Exchanges at temperature 0, stated.", "temperature_milli = 0"),
    share("many_samples_share", "Exchanges that ask for more than one answer (n).", "n > 1"),
    top_share("top_max_tokens_share", "max_tokens", "Exchanges with the commonest stated output limit."),
    values("models", "model", "Different models."),
    top_share("top_model_share", "model", "Exchanges with the commonest model."),
    # origin
    values("agents", "agent", "Different user agents (the client chooses them)."),
    values("nets", "net", "Different networks (/24, or /48 in IPv6)."),
    top_share("top_net_share", "net", "Exchanges from the commonest network."),
)
