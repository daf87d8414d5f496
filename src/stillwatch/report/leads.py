"""What a lead rests on, and what would make it a finding, in sentences. A lead accuses nobody."""

from stillwatch.report import amounts
from stillwatch.scan import ONE_QUEUE, Campaign, Lead

NO_ACTION = "A lead is no finding and accuses nobody: no step on an account may rest on it."
_CONTENT = {
    "many": "what is asked clings to accounts as it does with people: many hands",
    "one": "what is asked does not cling to accounts, as if it came from one source",
    "open": "not tested, or too few sessions to tell one source from many",
}
_SESSIONS = "More sessions, an hour apart and of the same accounts, in which no text clings to its account."
_PAYMENT = (
    "Shared payment, where one product's defaults explain the settings: at least half of its users pay with "
    "an instrument that another of them uses, and no single instrument pays for most of the group."
)
_HOLDS = (
    "Randomised holds of a gateway ([holds] in its terms), in which accounts that are not held take over "
    "what the others were refused. `stillwatch holds test` says so; a person decides on it."
)
# What could turn a lead into a finding, by what its content says.
_WANTING = {
    "many": (
        "More sessions in which what is asked does not cling to accounts, in the whole group or in a part. "
        "As long as it does, its accounts are no candidates for holds.",
    ),
    "one": (_PAYMENT, _HOLDS),
    "open": (_SESSIONS, _PAYMENT, _HOLDS),
}


def formed_by(lead: Lead) -> str:
    """Return which of its accounts' exchanges are counted."""
    return "of the set's items" if lead.text.startswith(ONE_QUEUE) else "with the group's wording"


def rests_on(lead: Lead) -> tuple[str, ...]:
    """Return what made a group a lead: its settings, its content, and the length of its answers."""
    settings = (
        f"p = {amounts.p_value(lead.p_value, plain=True)} of its settings alone: how often accounts "
        "that choose independently would act so alike. Users of one program's defaults do not choose "
        "independently."
        if lead.p_value < 1
        else "Its settings say nothing. What its accounts ask alone made it a lead."
    )
    return settings, f"Content: {_CONTENT.get(lead.hands, 'unknown')}", answers_text(lead)


def answers_text(group: Lead | Campaign) -> str:
    """Return how long the answers to a group's accounts are, by the provider's count."""
    if not group.answer_tokens:
        return "The length of its answers is unknown."
    return f"Half of its output tokens stand in answers of {group.answer_tokens:,} tokens or more."


def would_make_it_a_finding(lead: Lead) -> tuple[str, ...]:
    """Return what could make it a finding, according to its content."""
    return _WANTING.get(lead.hands, ())
