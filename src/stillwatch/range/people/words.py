"""Wordings around honest texts: templates, system prompts, topics. All of it was written for the composer."""

# Public templates, as frameworks ship them: the same text for whoever uses the framework. {q} is the slot.
PUBLIC = (
    "Use the notes between the rulers to reply. Say that you cannot tell when the notes do not "
    "help.\n---\n{q}\n---\nReply:",
    "Given the conversation so far and a follow-up, restate the follow-up as a question that stands "
    "alone.\n\nFollow-up: {q}\nStandalone question:",
    "You can use tools. Answer in this form.\nThought: what to do\nAction: one tool\nObservation: its "
    "result\nFinal: the reply\n\nBegin.\nTask: {q}\nThought:",
    'Write a concise summary of the text below.\n\n"{q}"\n\nCONCISE SUMMARY:',
    "Extract every person, place and date from the passage as JSON with the keys people, places, "
    "dates.\n\nPassage:\n{q}",
    "Translate to English. Keep names. Output only the translation.\n\n{q}",
    "Rate the sentiment of this text as positive, neutral or negative. One word.\nText: {q}\nSentiment:",
    "Propose four search queries that would find documents for: {q}\nOne query per line.",
)
# Released in the second week: new, shared, and honest.
NEW = (
    "### Planner v2\nGoal of the user: {q}\nKnown facts: none\nList at most five steps, then the first "
    "call.\n### Plan",
    "<card><task>{q}</task><tone>plain</tone><limit>120 words</limit></card>\nFill <answer>.",
)
VIRAL = (
    "Describe my week as if you were a tired weather presenter. My week: {q}",
    "roast my last message like a medieval tax collector: {q}",
    "You are now the narrator of a nature film and I am the animal. I am doing this: {q}",
)
LESSON_HEADS = ("", "", "homework: ", "can you check this one: ", "exercise from today, ", "pls help. ")
FOLLOWS = (
    "why?", "can you make it shorter", "give me an example", "and in plain words?",
    "that is not what I meant", "thanks, now as a list", "continue", "are you sure about the second part",
    "translate that to german", "what would you do?", "ok, and the other way round?", "add a source",
    "write it as an e-mail", "explain step two",
)  # fmt: skip
OWN_JOBS = (
    "Write a product text of at most 80 words", "Draft a polite reply", "Turn this into bullet points",
    "Find the three most important facts", "Suggest a headline", "Rewrite for a ten-year-old",
    "List open questions", "Classify by topic and urgency", "Make a table of names and numbers",
    "Shorten by half", "Point out contradictions", "Write the minutes", "Give keywords", "Fix the grammar",
    "Estimate the reading level", "Write alt text", "Propose a follow-up", "Convert to a checklist",
)  # fmt: skip
OWN_FRAMES = (
    "[{n}] {job}.\n\n{q}", "{job} for {n}.\nInput:\n{q}\nOutput:", "Service {n}. {job}, nothing else:\n{q}",
    "{q}\n\n({n}: {job}.)", "Task of {n}: {job}.\n<<<{q}>>>", "{n} desk\n{job}\n* * *\n{q}",
)  # fmt: skip
NAMES_A = (
    "Alder", "Bramble", "Copper", "Dunlin", "Elm", "Fathom", "Garnet", "Heron", "Indigo", "Juniper",
    "Kite", "Larch", "Marlow", "Nettle", "Osprey", "Pinion", "Quarry", "Rowan", "Saffron", "Teal",
    "Umber", "Vesper", "Willow", "Yarrow",
)  # fmt: skip
NAMES_B = (
    "Works", "Care", "Bank", "Logistics", "Press", "Health", "Foods", "Energy", "Labs", "Travel",
    "Insurance", "Schools", "Retail", "Media", "Homes", "Legal",
)  # fmt: skip
SYSTEMS = (
    "You are the {role} of {n}. {rule} {other}", "{n}: {role}. {rule} {other}",
    "Act as {n}'s {role}. {rule} {other}",
)  # fmt: skip
ROLES = (
    "help desk", "search assistant", "writing aid", "booking clerk", "support agent",
    "document assistant", "onboarding guide", "shop assistant",
)  # fmt: skip
RULES = (
    "Answer only from the documents given.", "Quote the document's number.",
    "If unsure, hand over to a person.", "Keep to three sentences.", "Never give legal advice.",
    "Use the customer's language.", "Do not promise dates.", "Prices are in euros.",
    "Ask back when the order number is missing.", "Be friendly and brief.",
)  # fmt: skip
LABELS = (
    "card | transfer | fee | other", "urgent, normal, later", "complaint / question / praise",
    "fraud? yes or no", "department: sales, service, finance, none", "topic code T1 to T9",
    "language of the customer",
)  # fmt: skip
TOPICS = (
    "tidal power", "a museum of locks", "sourdough", "night trains", "the history of paper", "urban bees",
    "old maps", "a choir tour", "roof gardens", "chess openings", "ferry timetables", "earthquake drills",
    "typewriters", "a village library", "hedgehogs", "the price of salt", "volcano tourism",
    "knitting patterns", "dry stone walls", "community radio", "alpine huts", "second-hand bicycles",
    "river cleaning", "lighthouse keepers", "school lunches", "puppet theatre", "canal boats",
    "mushroom seasons", "street markets", "amateur astronomy", "board game cafés", "letterpress",
    "sign languages", "moss", "the metric system", "repair cafés", "kites", "cider", "bookbinding",
)  # fmt: skip
ESSAYS = (
    "Write a long article about {t} for {who}. Include {extra}.",
    "Explain {t} in depth to {who}, with {extra}.",
    "I need a chapter on {t}. Readers: {who}. It should have {extra}.",
    "Compare two views on {t} at length; {who} will read it. Add {extra}.",
    "Plan a three-day course on {t} for {who}, with {extra}.",
    "Write a story set around {t}, meant for {who}, with {extra}.",
)
READERS = (
    "beginners", "a town council", "teenagers", "a trade journal", "my parents", "investors",
    "new volunteers", "a travel magazine", "engineers", "a book club",
)  # fmt: skip
EXTRAS = (
    "a timeline", "figures and where they come from", "a dialogue", "common mistakes", "a glossary",
    "five exercises", "a budget", "quotes that I can check", "a summary at the end", "a personal opening",
)  # fmt: skip
CHECKS = (
    "Is 97 prime? yes or no", "Capital of Peru, one word", "Reply with OK", "2+2*2=", "Reverse: lamp",
    "Name a colour", "Translate 'bread' to French", "What year follows 1999?", "Spell 'rhythm'",
    "Opposite of cold?", "7*8", "Say hello",
)  # fmt: skip
