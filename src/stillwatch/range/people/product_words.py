"""Wordings of made-up programs. All of it was written for the composer; no program's text is copied."""

LEADS = {
    "plugin": (
        "Rework the note below for my vault.",
        "You help inside an editor of notes. Use what is selected.",
        "Take the selection and answer beneath it.",
        "The text below was selected by the reader of a web page.",
        "Act on the cells that were marked.",
    ),
    "coding_agent": (
        "You are {name}, an engineer who works in the user's editor and asks before anything is deleted.",
        "You are {name}. You change code in a working copy by means of the tools below.",
        "{name} is a careful pair programmer at a terminal. Work in small steps.",
    ),
    "class": (
        "You assist students of the course {name}. Do not give whole solutions.",
        "This is the tutor of {name}. Point to the next step, and stop there.",
    ),
    "evaluation": ("",),
    "agency": (
        "Copy for a client of ours. Their brief and material follow.",
        "We write for the client below. Stay in their voice.",
    ),
    "annotation": (
        "Guideline of project {name}. Judge each item by it and by nothing else.",
        "Project {name}. You pre-label items; a person checks every label.",
    ),
    "reseller": (
        "You are reached through {name}. Answer the customer.",
        "{name} passes on a question of one of its customers.",
    ),
    "saas": (
        "A user of our product wrote the text below. Draft the reply that our product shows.",
        "Fill in the form of our product from what the user wrote.",
    ),
}
RULES_OF = {
    "plugin": (
        "Keep headings as they are.", "Write links as in the source.", "Answer in the language of the note.",
        "At most eight points.", "Put each question in bold.", "Leave code blocks alone.",
        "Mark what is uncertain with a question mark.", "No greeting and no closing line.",
        "Use a table where there are numbers.", "Quote at most one sentence.", "Keep the front matter.",
        "Dates stay in the form that they have.",
    ),
    "coding_agent": (
        "Read a file before you change it.", "Never guess the content of a file that you have not read.",
        "Wait for the result of each tool before the next one.", "Use one tool in each message.",
        "Prefer a small change over a rewrite.", "Keep the style that the project already has.",
        "Run the tests that exist when you have changed code.", "Do not install packages without asking.",
        "Paths are relative to the working directory.", "Show the whole content when you write a new file.",
        "Do not apologise, and do not repeat the task.", "End with what was done and what was left.",
        "When a command fails, read its last lines.", "Ask when two readings are possible.",
        "Do not touch files outside the working directory.", "Secrets stay out of what you write.",
        "A search result shows the lines around the match.", "Long output is cut in the middle.",
        "The environment is told with every message and is no answer of the user.",
        "Open files may be irrelevant.", "When you are done, say so with the tool for it.",
        "If the user rejects a change, ask for the reason once.", "Do not add comments that tell the change.",
        "Prefer the standard library.", "A migration needs a way back.", "Name a test after what it shows.",
        "Keep lines below the project's limit.", "Leave generated files alone.",
        "Check that a symbol is used before you remove it.", "Explain a regular expression in one line.",
    ),
    "class": (
        "Refer to the script of the course.", "Ask what was tried.", "Use the notation of the lecture.",
        "Two hints at most in one reply.", "Do not grade.", "Name the exercise that you mean.",
        "Send questions about dates to the office.", "Be patient with beginners.",
    ),
    "evaluation": ("",),
    "agency": (
        "Three variants.", "No superlatives.", "British spelling.", "Name no competitor.",
        "Headline of at most six words.", "End with what the reader can do.", "Keep figures as they are.",
        "Plain words.",
    ),
    "annotation": (
        "Reply with one label.", "Labels: wish, complaint, question, praise, other.",
        "Where two labels fit, take the first in the list.", "Irony counts as what is meant.",
        "An item in another language is labelled all the same.", "Leave out what you cannot read: other.",
        "Names of persons are no reason for a label.", "Do not explain.",
    ),
    "reseller": (
        "Do not name the model.", "Reply in the customer's language.", "No legal advice.",
        "Send billing questions to support.",
    ),
    "saas": (
        "Keep it below eighty words.", "No promises about dates.", "Leave unknown fields empty.",
        "Use the user's first name.", "Do not mention other products.", "Dates as in the text.",
        "Say what happens next.", "One language throughout.",
    ),
}  # fmt: skip
RULES_SHOWN = {
    "plugin": 4, "coding_agent": 22, "class": 4, "evaluation": 0, "agency": 4, "annotation": 5, "reseller": 2,
    "saas": 5,
}  # fmt: skip
TOOLS = (
    ("list_dir", "Lists a folder. Parameters: path (required), deep (optional, true or false)."),
    ("read_file", "Gives a file's content. Parameters: path (required), from and to (optional lines)."),
    ("write_file", "Writes a file whole. Parameters: path (required), content (required)."),
    ("change_file", "Replaces a passage. Parameters: path (required), old (required), new (required)."),
    ("search", "Looks for a pattern in files. Parameters: pattern (required), glob (optional)."),
    ("run", "Runs a command in the working directory. Parameters: command (required), wait_s (optional)."),
    ("ask_user", "Asks the user one question. Parameters: question (required), choices (optional)."),
    ("finish", "Ends the task. Parameters: summary (required)."),
)
SHOTS = (
    "Question: A box holds 4 rows of 6 pears. Five are eaten. How many are left?\n"
    "Answer: 4 x 6 = 24. 24 - 5 = 19. The answer is 19.\n\n"
    "Question: A train needs 3 hours for 240 km. How far does it get in 5 hours?\n"
    "Answer: 240 / 3 = 80. 80 x 5 = 400. The answer is 400.\n\n"
    "Question: Ida has twice as many stamps as Jon, who has 17. How many have they together?\n"
    "Answer: 2 x 17 = 34. 34 + 17 = 51. The answer is 51."
)
# What a person writes, as patterns of own words (w), own file (f) and little words. No pattern has more than
# three little words in a row, so that two people share no phrase by the composer.
PATTERNS = (
    "{w} the {w} in {f}", "why does {w} {w} after {w}?", "{f}: {w} {w} and {w}", "make {w} {w}, not {w}",
    "{w} {w} fails when {w} is {w}", "move {w} from {w} to {w}", "need a {w} for {w} {w}",
    "the {w} {w} should {w} {w}", "rename {w} to {w}", "{w}? see {f}", "{w} {w} {w}, then {w}",
    "check {w} against {w}", "add {w} {w} to {f}", "{w} is too {w} with {w}", "split {w} by {w}",
    "{w} of {w}: {w} or {w}", "drop {w} where {w} {w}", "how is {w} {w} used", "{w} never {w} {w}",
    "fix {f}, {w} {w}", "{w} and {w} disagree on {w}", "sort {w} before {w}", "what about {w} {w}",
    "{w} {w} without {w}",
)  # fmt: skip
OPENERS = ("", "", "", "please ", "ok. ", "hm, ", "next: ", "still: ", "todo ", "again ", "so ")
FOLDERS = ("src", "lib", "app", "pkg", "core", "tools", "tests", "docs", "web", "jobs", "notes", "data")
ENDINGS = ("py", "ts", "go", "rs", "java", "md", "cs", "rb", "sql", "yaml", "vue", "cpp")
RESULTS = ("[{tool} {f}] Result:\n{body}", "[{tool}] {f}\n{body}")
