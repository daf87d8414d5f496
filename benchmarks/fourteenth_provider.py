# ruff: noqa: E501 - each wording is one line
"""Individual users in the fourteenth author's world: what their software sends for them. The provider is the thirteenth author's.

The rules are in fourteenth_author.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np

# isort: off
# fmt: off
from eighth_author import Row
from fifth_author import Honest, Piece, Product, phrase, render
from fourth_author import MINUTE, Account, Request, Settings, Unit, address, choose, moment
from ninth_author import at_the_minute
from selves import Person
from seventh_author import Stock
from sixth_author import times_of
from tenth_author import ban_in_error
from thirteenth_provider import CJK, CODE, DAYS, DEEP, DESKS, SCHOOLS, SDKS, SMALL, STAFF, TRIALS, USUAL, Company, Places, Sessions, batch_rows, count_units, crowd, desk_rows, eval_rows, speakers, talk_of, token
from twelfth_provider import housed, units_of

PYTHON = SDKS[0]
STANDS = (("{ask}\n\n{text}", None), ("{text}\n---\n{ask}", None), ("{text}", "{ask}"))
GO_ON = ("and then?", "shorter please", "I meant {file}", "why is that?", "can you show it?", "ok", "what did you leave out?", "once more, for {line}", "that is wrong", "continue")
LEVELS = ("a child", "a colleague", "a reader in a hurry", "my mother")
FIGURES = tuple(f"{a} the {b}, {c}" for a in ("Brannoch", "Ilse", "Sergeant Pell", "Nuru", "Old Wick", "Vesna") for b in ("miller", "gate guard", "herbalist", "smuggler", "innkeeper", "scribe") for c in ("gruff", "curious", "drunk", "pious", "in debt"))
HEROES = tuple(f"{a}, {b}, {c}" for a in ("Caro", "Commander Ruz", "Lady Amberly", "Tomke", "The Cartographer", "Jun-ho", "Mistral", "Grandpa Obi", "Witch of Ellerbek", "Agent Sorrel") for b in ("keeper of bees", "on the last train", "without a shadow", "twice widowed", "chess champion", "lost at sea") for c in ("sarcastic", "gentle", "suspicious", "verbose", "never lies", "hums"))
PRODUCTS = (
    *(Product("own_script", number // 3 + (at < number % 3), agent, settings, prompt, system, output=170, units=units, life=600, moves=0.18)
      for number, agent, settings, units in ((340, PYTHON, Settings(USUAL, None, None, False), 8), (190, "ai-sdk/5.0.90", Settings(USUAL, None, 2048, True), 8), (110, "", Settings(SMALL, None, 1024, False), 8))
      for at, (prompt, system) in enumerate(STANDS)),
    Product("first_steps", 420, PYTHON, Settings(USUAL, 1.0, 1024, False), "{ask}\n{text}", output=200, units=2, life=0.01),
    Product("chat_front", 560, "harborchat/0.9.4", Settings(USUAL, None, None, True), "{text}\n\n{ask}", follow=GO_ON, follow_share=0.5, output=260, gap=2.5, units=5, life=400, moves=0.1, update=(13.3, 1.5, 0.5, {"user_agent": "harborchat/0.9.5"})),
    Product("chat_app", 360, "PalmChat/9.1 (iOS 19)", Settings(SMALL, 1.0, 1500, True), "{ask}: {text}", follow=GO_ON, follow_share=0.45, output=170, gap=2, units=5, life=300, moves=0.1),
    Product("terminal_agent", 620, "wren-code-cli/2.3.1", Settings(USUAL, None, 32000, True, None, 15), "{text}\n\n(in {file})", "You are the command-line agent of {root}. Read first, change little, run the tests. Ask before you delete.", "{text}\n\n[opened: {file}]\nBegin with a plan of at most four steps.", "<result of=\"{tool}\" at=\"{file}\">\n{text}\n</result>", parts=(2, 4), each={"tool": ("read", "search", "bash", "edit", "test")}, output=230, gap=0.6, units=4, life=250, update=(6.3, 0.9, 0.85, {"user_agent": "wren-code-cli/2.4.0"}), moves=0.18, session=True),
    Product("editor_agent", 340, "helmsman-vscode/1.31", Settings(CODE, 0.0, 4096, True, None, 9), "<task>{text}</task>\n<open>{file}</open>", "Helmsman works inside the editor on {root}. One tool for each step, wait for its result.", more="[{tool}: {file}] Result:\n{text}", parts=(2, 4), each={"tool": ("read_file", "apply_diff", "run_command", "list_files")}, output=190, gap=0.8, units=4, life=350, moves=0.18, session=True),
    Product("page_button", 400, "sidenote-ext/5.6", Settings(SMALL, 0.3, 1000, True), "{what} Answer in {to}.\n\"\"\"{text}\"\"\"", each={"what": ("Explain the marked passage for somebody who sees it for the first time.", "Shorten the marked passage to its three main points.", "Rewrite the marked passage in plain words.")}, own={"to": ("English", "the page's language", "German", "Spanish", "French", "Japanese", "Portuguese")}, output=120, units=6, life=400),
    Product("site_writer", 360, "pressroom/7.1 (php)", Settings(USUAL, 0.7, None, False), "{text}", output=80, units=5, life=500),
    Product("scheduled_posts", 80, "draftclock-plugin/3.4", Settings(USUAL, 0.8, 4096, False), "{text}", "You write for the site {site} ({beat}). Headlines below 60 characters, short paragraphs, no invented figures, no sales talk. Follow the format exactly.", own={"site": ("our blog", "the magazine", "the shop's journal", "the club page", "the portal"), "beat": ("tech", "travel", "home", "finance", "garden", "health", "parents", "cars")}, output=900, units=30, life=300),
    Product("paper_tagger", 170, "sheaf-tagger/2.3", Settings(SMALL, 0.2, 600, False, None, 0, "json_object"), "Suggest for the scanned document: title, correspondent, document type, up to five tags, date. Existing tags: {tags}. Return JSON only.\n\nContent:\n{text}", own={"tags": ("none", "tax, car, house", "invoice, contract, school", "medical, bank, insurance", "work, private")}, output=60, units=12, life=400),
    Product("flow_runner", 220, "n8n/1.118.1", Settings(SMALL, 0.4, None, False), "{ask}\n<<<\n{text}\n>>>", output=80, units=13, life=500),
    Product("home_voice", 110, "hearthlink-cloud/12", Settings(SMALL, 0.1, 200, True, None, 6), "{line}", "House voice. Rooms: {rooms}. Use a tool or answer in ten words.", own={"rooms": ("kitchen, den", "flat with loft", "two floors", "studio", "farm and barn")}, output=25, units=12, life=500),
    Product("story_front", 260, "taleforge/1.9", Settings(USUAL, 1.0, 700, True, 0.95), "{text}", "You play {card}. Never speak for the player.", follow=("go on", "what do you see?", "I turn around", "{line}", "wait", "tell me the truth"), follow_share=0.75, own={"card": HEROES}, output=160, gap=1.4, units=6, life=350),
    Product("mod_player", 120, "tavern-mod/0.8", Settings(SMALL, 0.9, 120, False, None, 0, "json_object"), "Player says: {line}\nMood {mood}. Reply as JSON with say, mood, give.", "Figure: {card}. Speak only of what the figure can know. Two sentences.", follow=("Player says: {line}\nMood 2. Reply as JSON with say, mood, give.",), follow_share=0.6, own={"card": FIGURES}, each={"mood": ("1", "2", "3", "4", "5")}, output=40, gap=0.5, units=9, life=200),
    Product("deep_digger", 110, "digdeep-agent/0.12", Settings(DEEP, 0.7, 8192, True), "{text}", output=700, units=3, life=200),
    Product("study_cards", 120, "cardbox-sync/2.2", Settings(SMALL, 0.2, 1200, False, None, 0, "json_object"), "Make {n} question-answer cards from:\n{text}", own={"n": ("3", "5", "8", "10")}, output=160, units=8, life=300),
    Product("meeting_notes", 160, "minutely-cloud/88", Settings(USUAL, 0.2, 2000, False), "Transcript part. List decisions, owners and dates, then open questions. Keep names as spoken.\n\n{text}", later="Transcript part. Minutes in house form ({form}): decisions with owner and date, open questions, one line of mood.\n\n{text}", own={"form": ("short", "long", "table")}, output=240, units=9, life=350, update=(12.1, 0.02, 1.0, {"user_agent": "minutely-cloud/89", "max_tokens": 3000})),
    Product("notebook_course", 150, PYTHON, Settings(SMALL, 0.0, None, False), "{ask}\n<<<{text}>>>", output=130, units=4, life=0.5),
    Product("puzzle_league", 140, "", Settings(DEEP, 1.0, 8192, True), "{ask}\n{text}", output=420, units=4, life=500),
    Product("contest_entrant", 60, PYTHON, Settings(USUAL, 0.0, 64, False), "{ask}\n{text}", output=12, units=2, life=200),
)
EXPLAINED = frozenset({"own_script", "first_steps", "chat_front", "chat_app", "flow_runner", "puzzle_league"})
BY_KIND = {product.kind: product for product in PRODUCTS}
EXPLAINS: Mapping[str, tuple[tuple[str, ...], ...]] = {  # what both honest people and harvesters ask for: what, how
    "en": (("Please explain", "Tell me about", "Describe", "I would like to understand", "Go through", "Write about", "Help me with", "Look into", "Discuss", "Break down", "Clarify", "Talk me through"), ("the question below", "what follows", "this point", "the matter", "this one", "the following", "the topic here", "my question"), ("from the causes to the consequences.", "as you would to a student.", "with the background.", "one step after the other.", "with an example.", "and say why it is so.", "in depth.", "for an informed reader.", "with what is known and what is not.", "so that nothing is left open.", "as in a textbook.", "and compare the possibilities."), ("", "Take your time.", "Length does not matter.", "No list, please.", "End with a summary.", "Mention exceptions.", "Define terms first.", "Be concrete.", "Sources are not needed.", "Start with the answer.")),
    "de": (("Erkläre mir", "Bitte erläutere", "Ich möchte verstehen:", "Geh durch:", "Beschreibe"), ("das Folgende", "diesen Punkt", "die Frage", "was hier steht"), ("Schritt für Schritt.", "mit Hintergrund.", "ausführlich.", "wie in einem Lehrbuch.", "mit einem Beispiel."), ("", "Am Ende ein Fazit.", "Keine Liste.", "Auch Ausnahmen nennen.")),
    "es": (("Explícame", "Por favor, aclara", "Quiero entender", "Repasa", "Describe"), ("lo siguiente", "este punto", "la pregunta", "lo que sigue"), ("paso a paso.", "con el contexto.", "en detalle.", "como en un manual.", "con un ejemplo."), ("", "Termina con un resumen.", "Sin listas.", "Menciona excepciones.")),
    "fr": (("Explique-moi", "Merci de préciser", "J'aimerais comprendre", "Passe en revue", "Décris"), ("ce qui suit", "ce point", "la question", "le sujet ci-dessous"), ("étape par étape.", "avec le contexte.", "en détail.", "comme dans un manuel.", "avec un exemple."), ("", "Finis par un résumé.", "Pas de liste.", "Cite les exceptions.")),
    "pt": (("Explique", "Por favor, esclareça", "Quero entender", "Analise", "Descreva"), ("o que segue", "este ponto", "a pergunta", "o tema abaixo"), ("passo a passo.", "com o contexto.", "em detalhe.", "como num livro.", "com um exemplo."), ("", "Termine com um resumo.", "Sem listas.", "Cite exceções.")),
    "it": (("Spiegami", "Per favore chiarisci", "Vorrei capire", "Ripercorri", "Descrivi"), ("quanto segue", "questo punto", "la domanda", "il tema qui sotto"), ("passo per passo.", "con il contesto.", "in dettaglio.", "come in un manuale.", "con un esempio."), ("", "Chiudi con un riassunto.", "Niente elenchi.", "Indica le eccezioni.")),
    "ru": (("Объясни", "Поясни, пожалуйста,", "Хочу понять", "Разбери", "Опиши"), ("следующее", "этот вопрос", "что здесь сказано", "эту тему"), ("шаг за шагом.", "с предысторией.", "подробно.", "как в учебнике.", "на примере."), ("", "В конце вывод.", "Без списков.", "Назови исключения.")),
    "zh": (("请解释", "请详细说明", "我想弄明白", "分析一下", "讲讲"), ("下面的问题", "以下内容", "这一点", "这个题目"), ("，一步一步来。", "，说明背景。", "，尽量详细。", "，像教科书那样。", "，举个例子。"), ("", "最后总结。", "不要列表。", "说明例外。")),
    "ja": (("次の内容", "この点", "以下の質問", "このテーマ"), ("を順を追って", "を背景も含めて", "を詳しく", "を教科書のように", "を例を挙げて"), ("説明してください。", "解説してください。", "教えてください。"), ("", "最後にまとめも。", "箇条書きは不要です。", "例外も。")),
    "ko": (("다음 내용을", "이 점을", "아래 질문을", "이 주제를"), (" 단계별로", " 배경과 함께", " 자세히", " 교과서처럼", " 예를 들어"), (" 설명해 주세요.", " 알려 주세요.", " 풀어 주세요."), ("", " 마지막에 요약도요.", " 목록은 빼고요.", " 예외도요.")),
}
CONTEST = (("Classify the command", "Which intent has the sentence", "You route for a voice assistant. Name the class of", "Assign exactly one class to", "Predict the intent of", "Label"), ("below.", "that follows, from the list of the contest.", "(ten classes, see rules)."), ("", "Class number only.", "Only the name.", "If unsure, take the most frequent.", "Think of the domain first.", "Lower case, no dot."))
FIRST = "Write a two-line verse about a lighthouse keeper's cat."
TITLE = "### Task\nGive this conversation a title of three to five words with one emoji in front, in its main language.\n### Output\nJSON with the key title.\n### Conversation\n<chat>\nUSER: {}\n</chat>"
NEXT = "### Task\nSuggest three questions that the user might ask next, from the user's point of view.\n### Output\nJSON with the key follow_ups, a list.\n### Conversation\n<chat>\nUSER: {}\n</chat>"
LABELS = "### Task\nGive one to three broad and one to three narrower tags for this conversation.\n### Output\nJSON with the key tags, a list.\n### Conversation\n<chat>\nUSER: {}\n</chat>"
TOPIC = "Does the message begin a new subject? If so, name it in two or three words. JSON with isNew and title."
COMPACT = "Write down what the next context window must know of this session: the request, files touched, what failed, what is left. Be exact with names.\n\nLast message:\n{}"
SAVED = ("Write an excerpt of one or two sentences for the post below. No quotes, no introduction.\n\n{}", "Suggest three titles for the post below, one a line, at most 60 characters each.\n\n{}", "Write a description for search engines, at most 155 characters, for the post below.\n\n{}")
OUTLINE, ARTICLE = "Today's subject comes from this note. Return JSON with title, slug, and five section headings.\n\n{}", "Write the article for the outline you gave: 700 to 900 words, HTML paragraphs, the keys title, slug, excerpt, body_html, category.\n\nNote:\n{}"
PLAN, NOTE, REPORT = "You plan research. Break the question into at most five searches, one a line.\n\nQuestion: {}", "You read one source for the question. Extract facts with numbers and say how sure they are. Ignore advertising.\n\nQuestion: {}\n\nSource:\n{}", "You write the report. Use only the notes, cite them as [n], say what is unknown, 600 words.\n\nQuestion: {}"
COURSE = ("Your task is to condense the text delimited by triple angle brackets into one sentence. Text: <<<{}>>>", "Find every step of the instruction delimited by triple angle brackets and write them as Step 1, Step 2 and so on. If there is none, write No steps. Text: <<<{}>>>", "First work out your own solution to the problem delimited by triple angle brackets, then state the result. Do not skip the working. Problem: <<<{}>>>", "Answer in a consistent style, as an expert who explains to an apprentice. Question: <<<{}>>>", "Decide on the task delimited by triple angle brackets: what is asked, what is given, how to do it, and the answer. Task: <<<{}>>>")
EXAMPLES = ("Clear prompts are like clear recipes: whoever cooks, the soup tastes the same, and nobody asks how much salt is some salt.", "Boil water. Meanwhile grind the beans. When the water has stood for half a minute, pour it in circles. Wait four minutes and press.", "A solar field costs 100 a square metre for land, 250 for panels and 100,000 for upkeep plus 10 a square metre. What is the first year's total as a function of area?", "Why do river stones become round?", "Translate the notice, then list each name in it, then count the names.", "The sun shines today and we go for a walk in the park, as there is nothing to be done.", "The lamp came two days early, but the shade was bent. The shop sent another within a day.")
CELLS = tuple(COURSE[(at * 3 + at // 5) % 5].format(EXAMPLES[at // 2]) for at in range(14))
TRY = ("my answer {n} was too low.\n\n{t}", "still wrong, check the second part.\n\n{t}", "{t}\n\ncode only", "{t}\n\nexplain the trick", "{t}")
RESULTS = (("7 passed", "1 failed, 12 passed", "no matches", "exit status 2", "ok", "2 files changed", "killed", "14 lines"), ("in 1.4 s", "in 22 s", "at line 118", "on import", "(cached)", "in CI"), ("KeyError: 'id'", "expected 3 got 2", "nothing to commit", "clean", "timeout", "warning: unused import", "permission denied", "see log"))
FILES = tuple(f"{a}/{b}.{c}" for a in ("src", "lib", "tests", "pkg") for b in ("main", "util", "client", "store", "config", "routes", "parser") for c in ("py", "ts", "go", "rs"))


@dataclass
class PublicTexts:
    """Texts that many strangers have: the league's puzzles, the contest's rows, pages that an agent reads."""

    puzzles: Sequence[str]
    rows: Sequence[str]
    pages: Sessions


def small(one: Account, **settings: object) -> Account:
    """Return the account as its software sends hidden requests: to the small model, with their own settings."""
    return replace(one, settings=replace(Settings(SMALL, None, 1000, False), **settings))


def hidden_rows(rng: np.random.Generator, one: Account, kind: str, when: float, unit: Unit) -> list[Row]:
    """Return the software's automatic requests about a conversation. `rng` draws the features that the account has switched on."""
    text, later = unit[0].prompt[:1500], when + float(rng.uniform(0.2, 0.6)) * MINUTE
    if kind == "chat_front":
        if "hidden" not in one.state:
            one.state["hidden"] = (bool(rng.random() < 0.45), bool(rng.random() < 0.3))
        frames = [frame for frame, on in ((TITLE, True), (NEXT, one.state["hidden"][0]), (LABELS, one.state["hidden"][1])) if on]
        return [(small(one), later + at * 0.1 * MINUTE, [Request(frame.replace("{}", text), output=22)]) for at, frame in enumerate(frames)]
    rows = [(small(one, temperature=0.0, max_tokens=512), when + 0.02 * MINUTE, [Request(text[:400], TOPIC, output=18)])]
    if len(unit) > 6:
        rows.append((one, when + len(unit) * MINUTE, [Request(COMPACT.replace("{}", unit[-1].prompt[:600]), unit[0].system, output=600)]))
    return rows


def agent_session(rng: np.random.Generator, product: Product, texts: Iterator[Piece], late: bool = False, first: str | None = None) -> Unit:
    """Return a task and its tools' results: texts of the project, or a test's or shell's output."""
    text, file = next(texts)
    pieces = [(first or text, file)]
    for _ in range(int(rng.integers(1, 9))):
        pieces.append(next(texts) if rng.random() < 0.4 else (phrase(rng, *RESULTS), choose(rng, FILES)))
    return render(rng, product, {}, pieces, late)


# --- rows of a kind: (rng, product, account, times, texts of its person, what is public) -> rows ---------------


def plain_rows(rng: np.random.Generator, product: Product, one: Account, times: Sequence[float], own: Sequence[Piece], public: PublicTexts) -> list[Row]:
    return list(zip([one] * len(times), map(float, times), units_of(rng, product, one, times, own), strict=True))


def chat_rows(rng, product, one, times, own, public):
    rows = plain_rows(rng, product, one, times, own, public)
    return rows + [hidden for _, when, unit in rows for hidden in hidden_rows(rng, one, product.kind, when, unit)]


def agent_rows(rng, product, one, times, own, public):
    texts, rows = cycle(own), []
    for when in map(float, times):
        unit = agent_session(rng, product, texts, when > one.state["late"])
        rows += [(one, when, unit), *(hidden_rows(rng, one, product.kind, when, unit) if product.kind == "terminal_agent" else ())]
    return rows


def site_rows(rng, product, one, times, own, public):
    """Return requests when a post is saved: the system asks one to three things about it in turn."""
    rows = []
    for when, (text, _) in zip(times, cycle(own), strict=False):
        wanted = rng.permutation(3)[: int(rng.integers(1, 4))]
        rows += [(one, float(when) + at * 0.15 * MINUTE, [Request(SAVED[which].replace("{}", text[:2500]), output=product.output)]) for at, which in enumerate(wanted)]
    return rows


def scheduled_rows(rng, product, one, times, own, public):
    """Return requests for articles at the plug-in's times, each from a note of the site's owner."""
    slots = (9, 14, 19) if rng.random() < 0.6 else tuple(float(hour) for hour in rng.choice(np.arange(5, 24, 0.5), 3, replace=False))
    slots, zone = slots[: int(rng.integers(1, 4))], one.hour - 13.8
    system = product.system.format(**one.state["own"])
    begins = sorted(day + ((hour + zone) % 24) / 24 + float(rng.uniform(0, 0.002)) for day in range(int(one.start), int(np.ceil(one.end))) for hour in slots)
    begins = [when for when in begins if one.start + 0.003 < when < one.end - 0.01][: len(own)]
    return [(one, when, [Request(frame.replace("{}", text[:600]), system, output=output, gap=0.6) for frame, output in ((OUTLINE, 120), (ARTICLE, product.output))]) for when, (text, _) in zip(begins, own, strict=False)]


def digger_rows(rng, product, one, times, own, public):
    """Return requests of a question that fans out: a plan, notes on sources by strangers, a report."""
    rows = []
    for when, (text, _) in zip(times, cycle(own), strict=False):
        question = " ".join(text.split())[:220]
        pages = [page for _ in range(4) for page, _ in next(public.pages[one.state["language"]])][: int(rng.integers(3, 9))]
        notes = [Request(NOTE.replace("{}", question, 1).replace("{}", page[:1800], 1), output=180, gap=0.2) for page in pages]
        rows.append((one, float(when), [Request(PLAN.replace("{}", question), output=60), *notes, Request(REPORT.replace("{}", question), output=product.output, gap=0.4)]))
    return rows


def course_cells(rng: np.random.Generator, one: Account, begin: float, last: int) -> list[Row]:
    """Return requests of the first cells of the course's notebook, some repeated, in up to three sittings."""
    rows, when = [], begin
    for cell in CELLS[:last]:
        when += float(rng.lognormal(np.log(1.6), 0.8)) * MINUTE + (float(rng.uniform(0.3, 2.5)) if rng.random() < 0.08 else 0.0)
        rows += [(one, when + again * 0.4 * MINUTE, [Request(cell, output=130)]) for again in range(1 + int(rng.random() < 0.15) + int(rng.random() < 0.05))]
    return [row for row in rows if row[1] < one.end - 0.003]


def course_rows(rng, product, one, times, own, public):
    last = 14 if rng.random() < 0.55 else int(rng.integers(2, 14))
    rows = course_cells(rng, one, one.start + 0.002, last)
    if rows and rng.random() < 0.25:
        after = [rows[-1][1] + float(rng.exponential(0.3)) + 0.01 for _ in own[:8]]
        rows += [(one, when, [Request(choose(rng, COURSE).replace("{}", text[:1500]), output=130)]) for when, (text, _) in zip(after, own, strict=False) if when < one.end - 0.003]
    return rows


def first_rows(rng, product, one, times, own, public):
    rows = plain_rows(rng, product, one, times, own, public)
    return [(one, one.start + float(rng.uniform(0.0003, 0.002)), [Request(FIRST, output=40)]), *rows] if rng.random() < 0.8 else rows


def puzzle_rows(rng, product, one, times, own, public):
    rows, weekdays = plain_rows(rng, product, one, times, own, public), [day for day in range(int(DAYS)) if day % 7 < 5]
    for day, puzzle in zip(weekdays, public.puzzles, strict=False):
        when, tries = day + 5 / 24 + float(rng.lognormal(np.log(0.1), 0.9)), 1 + int(rng.random() < 0.4) + int(rng.random() < 0.2)
        if rng.random() < 0.35 and one.start + 0.01 < when < one.end - 0.1:
            begin = f"{one.state['own']['ask']}\n{puzzle}" if rng.random() < 0.5 else puzzle
            rows += [(one, when + at * float(rng.uniform(3, 25)) * MINUTE, [Request(choose(rng, TRY).replace("{t}", puzzle).replace("{n}", str(rng.integers(2, 9999))) if at else begin, output=product.output)]) for at in range(tries)]
    return rows


def contest_rows(rng, product, one, times, own, public):
    """Return requests for a part of the public rows, one to three times with a prompt of their own, mostly before the deadline on day 16."""
    rows, first, size = plain_rows(rng, product, one, times, own, public), int(rng.integers(0, 300)), int(rng.integers(60, 161))
    task = phrase(rng, *CONTEST).strip()
    for run in range(int(rng.integers(1, 4))):
        begin = 5 + 11 * float(rng.beta(3, 1.3)) * 0.99
        pace = float(rng.uniform(2.5, 9)) / 86400
        lead = task if not run or rng.random() < 0.4 else f"{task} {choose(rng, ('Think first.', 'Be strict.', 'Use the list.', 'If unsure, other.'))}"
        rows += [(one, begin + at * pace, [Request(f"{lead}\n{text}", output=product.output)]) for at, text in enumerate(public.rows[first : first + size]) if one.start < begin + at * pace < one.end]
    return rows


Shape = Callable[..., list[Row]]
SHAPES: Mapping[str, Shape] = {
    "chat_front": chat_rows, "terminal_agent": agent_rows, "editor_agent": agent_rows, "site_writer": site_rows, "scheduled_posts": scheduled_rows, "deep_digger": digger_rows,
    "notebook_course": course_rows, "first_steps": first_rows, "puzzle_league": puzzle_rows, "contest_entrant": contest_rows,
}


# --- who they are ----------------------------------------------------------------------------------------------


class SoftwarePlaces(Places):
    """The thirteenth author's networks, and those of web hosts and of a vendor."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.shared["webhosts"] = [address(rng, True) for _ in range(40)]
        self.vendors = {"meeting_notes": [(address(rng)[0], 16509) for _ in range(4)]}


def explain(rng: np.random.Generator, language: str) -> str:
    """Return a request for an explanation, in this language."""
    parts = [choose(rng, part) for part in EXPLAINS[language]]
    return "".join(parts) if language in CJK else " ".join(part for part in parts if part)


def settle_person(rng: np.random.Generator, one: Account, nets: Places) -> None:
    """Apply the kind's rule to one of its accounts."""
    if one.kind in ("first_steps", "notebook_course"):
        one.start = float(rng.uniform(0, DAYS - 1))
        one.end = DAYS if rng.random() < 0.5 else min(DAYS, one.start + float(rng.uniform(0.5, 6)))
        one.created = moment(one.start - float(rng.exponential(0.05 if one.kind == "first_steps" else 2.0)))
        if rng.random() < 0.75:
            one.tier, one.payment = "free", None
        elif one.tier == "free":
            one.tier, one.payment = "payg", token(one.name, rng)
    elif one.kind in ("site_writer", "scheduled_posts"):
        one.addresses = nets.place(rng, "webhosts", [], [])[:1]
    elif one.kind == "paper_tagger":
        one.state["minute"] = float(rng.uniform(0, 0.25))
    elif one.kind in ("flow_runner", "own_script") and rng.random() < 0.4:
        one.addresses = nets.place(rng, choose(rng, ("hosting", "platform"), (0.7, 0.3)), [], [])
        if rng.random() < 0.4:
            one.state["minute"] = rng.random()
    elif one.kind == "contest_entrant":
        one.start, one.end = min(one.start, 5.0), DAYS
        one.created = min(one.created, moment(one.start))
        if one.tier == "free":
            one.tier, one.payment = "payg", token(one.name, rng)
    if one.kind in EXPLAINED and rng.random() < 0.3:
        one.state["own"]["ask"] = explain(rng, one.state["language"])
    if one.kind in ("puzzle_league", "contest_entrant") and rng.random() < 0.25:
        one.email_domain = choose(rng, SCHOOLS)


def clocked(one: Account, times: np.ndarray) -> np.ndarray:
    return np.sort(at_the_minute(one, times)) if "minute" in one.state else times


def found_crowds(rng: np.random.Generator, world: Honest, nets: Places, companies: Sequence[Company]) -> list[tuple[Product, list[Account]]]:
    """Create the accounts of every product, and of companies' people. Twelve are banned in error."""
    crowds = [(product, crowd(rng, product, 100 + at, world, nets)) for at, product in enumerate(PRODUCTS)]
    alone = [one for _, accounts in crowds for one in accounts]
    for one in alone:
        settle_person(rng, one, nets)
    ban_in_error(rng, alone, DAYS, 12, 8)
    return crowds + [(product, [one for company in companies for one in company.keys if one.kind == product.kind]) for product in STAFF]


def compose_people(rng: np.random.Generator, world: Honest, stock: Stock, people: Mapping[str, Sequence[Person]], nets: Places, public: PublicTexts, companies: Sequence[Company]) -> None:
    """Compose all accounts that speak as one person, or hold real conversations."""
    crowds = found_crowds(rng, world, nets, companies)
    counts, needs, languages = {}, {}, {}
    for product, accounts in crowds:
        for one in accounts:
            counts[one.name], languages[one.name] = count_units(rng, product, one), one.state["language"]
            if product.kind in ("first_steps", "contest_entrant", "notebook_course"):
                counts[one.name] = min(counts[one.name], 5)
            if product.kind in ("chat_front", "chat_app") and rng.random() < 1 / 4:
                counts[one.name] = min(counts[one.name], 12)
            else:
                needs[one.name] = (product, int(np.ceil(counts[one.name] * np.mean(product.parts))))
    spoken, entry = speakers(rng, needs, counts, languages, people, world), {row["account"]: row for row in world.people}
    for product, accounts in crowds:
        for one in accounts:
            before, own, times = len(world.log.rows), spoken.get(one.name), clocked(one, times_of(rng, one, counts[one.name]))
            if one.name not in needs:
                rows = [(one, float(when), talk_of(rng, stock, product, one, public.pages)) for when in times]
                rows += [hidden for _, when, unit in rows for hidden in (hidden_rows(rng, one, product.kind, when, unit) if product.kind == "chat_front" else ())]
            else:  # no person has as many texts as some accounts need
                rows = SHAPES.get(product.kind, plain_rows)(rng, product, one, times, own, public) if own else []
            if one.state.get("at_once") and rng.random() < 1 / 4:  # a manual trial comes first
                rows.append((one, one.start + float(rng.uniform(0.0002, 0.002)), [Request(choose(rng, TRIALS), output=20)]))
            world.accounts.append(one)
            for sender, when, unit in rows:
                world.log.add(rng, sender, when, housed(one, unit))
            if own and one.name in entry:
                entry[one.name]["exchanges"] = len(world.log.rows) - before


def compose_desks(rng: np.random.Generator, world: Honest, stock: Stock, staff: Mapping[str, Sequence[Person]], customers: Sessions, companies: Sequence[Company], sets: Sequence[tuple[Sequence[str], str]]) -> None:
    """Compose what companies' keys send that no single person writes."""
    busy = {language: [*(one for one in own if len(one.texts) >= 30), *sorted(own, key=lambda one: -len(one.texts))[:8]] for language, own in staff.items()}
    for one in (one for company in companies for one in company.keys if one.kind in DESKS):
        count = max(1, int(np.clip(rng.lognormal(np.log(DESKS[one.kind][1] or 1), 1.5), 1, 400) * (one.end - one.start) / DAYS))
        world.accounts.append(one)
        rows = batch_rows(rng, one, choose(rng, busy[one.state["language"]])) if one.kind == "firm_batch" else eval_rows(rng, one, sets) if one.kind == "firm_eval" else desk_rows(rng, one, count, stock, customers)
        for key, when, unit in rows:
            world.log.add(rng, key, max(float(when), one.start), housed(one, unit))
