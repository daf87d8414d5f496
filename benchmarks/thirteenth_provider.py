# ruff: noqa: E501 - each wording is one line
"""The provider of the thirteenth author's world, and the majority of its accounts: individuals and companies.

The rules are in thirteenth_author.md.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle

import numpy as np

# isort: off
# fmt: off
from eighth_author import Row, in_jobs
from eighth_provider import Troubles
from fifth_author import LIMITS, TEMPERATURES, Honest, Piece, Product, conversation
from fourth_author import MINUTE, Account, Log, Request, Settings, Unit, address, choose, moment, new_account, people_of
from ninth_author import at_the_minute, within_texts
from selves import Person, keyed
from seventh_author import Stock
from sixth_author import deal_queue, times_of
from tenth_author import ban_in_error, talk_unit
from twelfth_provider import CloudLog, Networks, housed, units_of

DAYS, NEVER = 21.0, 99.0
LAUNCH_DAY, NEW_MODEL = 8.4, "wren-5"
MODELS = {"wren-4": 0.42, "wren-4-mini": 0.28, "wren-4-deep": 0.1, "wren-code": 0.12, "wren-3": 0.08}
USUAL, SMALL, DEEP, CODE, OLD = MODELS
OUTAGES = ((5.6, 5.6 + 45 * MINUTE, 0.8), (11.35, 11.35 + 180 * MINUTE, 0.3), (17.8, 17.8 + 20 * MINUTE, 1.0))
TROUBLES = Troubles({"free": 5, "plan": 10, "payg": 40, "scale": 300}, 100, OUTAGES, ((8.4, 9.6, 0.06),), 0.005, 0.012, LAUNCH_DAY, 0.08, 0.3, 0.002, (NEW_MODEL, SMALL, USUAL))


class WrenLog(CloudLog):
    """The log of this world's provider. A filter ends some answers."""

    days, retired, retired_day, heir, reasoning_model = DAYS, OLD, 15.2, SMALL, DEEP


# Each wording is one line; a group or a campaign takes a few.
# --- languages -----------------------------------------------------------------------------------------------


LANGUAGES = {"en": 0.37, "de": 0.13, "es": 0.08, "fr": 0.11, "pt": 0.09, "zh": 0.1, "ja": 0.06, "ru": 0.03, "it": 0.015, "ko": 0.015}
LANDS = {
    "en": (("US", -6), ("US", -5), ("GB", 1), ("IN", 5.5), ("CA", -5), ("AU", 10), ("NL", 2), ("PL", 2), ("ID", 7)), "de": (("DE", 2), ("DE", 2), ("AT", 2), ("CH", 2)), "es": (("ES", 2), ("MX", -6), ("AR", -3), ("CO", -5)), "fr": (("FR", 2), ("FR", 2), ("CA", -5), ("BE", 2)),
    "pt": (("BR", -3), ("BR", -3), ("PT", 1)), "zh": (("TW", 8), ("SG", 8), ("HK", 8), ("MY", 8)), "ja": (("JP", 9),), "ru": (("KZ", 5), ("GE", 4), ("RS", 2)), "it": (("IT", 2),), "ko": (("KR", 9),),
}
ASKS = {  # the request, its subject, its style, and the form of the answer
    "en": (("Condense", "Reword", "Spot the mistakes in", "Pull the action items from", "Give a title to", "Sort by topic:", "Explain to my boss", "Write unit tests for", "Rate from 1 to 5", "Turn into a tweet", "List the risks in", "Make a table of", "Name the people in", "Draft an answer to"), ("this text", "the entry", "the input", "my note", "the ticket", "the section", "what comes next", "the log"), ("for the monthly digest", "for colleagues abroad", "for our web shop", "for the handover", "for a beginner", "for the changelog", "for legal", "for the sprint review", "for my thesis", "for the archive", "for a push message", "for sales", "for the kids' page"), ("", "in two sentences", "as JSON", "without jargon", "in British English", "with a short reason", "and nothing else")),
    "de": (("Fasse zusammen:", "Formuliere um:", "Finde Fehler in", "Gib einen Titel für", "Ordne ein:", "Übersetze ins Englische:", "Erkläre", "Schreibe eine Antwort auf", "Nenne Risiken in", "Prüfe"), ("diesen Text", "den Eintrag", "die Notiz", "den Absatz", "das Folgende"), ("für den Newsletter", "für den Kunden", "für die Doku", "für die Kollegen", "für das Wiki", "für den Chef", "für das Protokoll", "für Laien"), ("", "in zwei Sätzen", "als Liste", "ohne Einleitung", "sachlich", "mit Begründung")),
    "es": (("Resume", "Reescribe", "Busca errores en", "Pon un título a", "Clasifica", "Traduce al inglés", "Explica", "Redacta una respuesta a", "Enumera los riesgos de", "Revisa"), ("este texto", "la nota", "la entrada", "el párrafo", "lo siguiente"), ("para el boletín", "para el cliente", "para la wiki", "para mi equipo", "para la clase", "para el informe", "para la web", "para un principiante"), ("", "en dos frases", "en una lista", "sin introducción", "en tono formal", "con el motivo")),
    "fr": (("Résume", "Reformule", "Trouve les erreurs dans", "Donne un titre à", "Classe", "Traduis en anglais", "Explique", "Rédige une réponse à", "Liste les risques de", "Relis"), ("ce texte", "la note", "l'entrée", "le paragraphe", "ce qui suit"), ("pour la lettre interne", "pour le client", "pour le wiki", "pour l'équipe", "pour le cours", "pour le rapport", "pour le site", "pour un débutant"), ("", "en deux phrases", "en liste", "sans introduction", "sur un ton neutre", "avec la raison")),
    "pt": (("Resuma", "Reescreva", "Ache erros em", "Dê um título para", "Classifique", "Traduza para o inglês", "Explique", "Escreva uma resposta para", "Liste os riscos de", "Revise"), ("este texto", "a nota", "o registro", "o parágrafo", "o seguinte"), ("para o boletim", "para o cliente", "para a wiki", "para a equipe", "para a aula", "para o relatório", "para o site", "para iniciantes"), ("", "em duas frases", "em lista", "sem introdução", "em tom formal", "com o motivo")),
    "it": (("Riassumi", "Riscrivi", "Trova errori in", "Dai un titolo a", "Classifica", "Traduci in inglese", "Spiega", "Scrivi una risposta a", "Elenca i rischi di", "Correggi"), ("questo testo", "la nota", "la voce", "il paragrafo", "quanto segue"), ("per la newsletter", "per il cliente", "per il wiki", "per il team", "per la lezione", "per la relazione", "per il sito", "per principianti"), ("", "in due frasi", "come elenco", "senza premesse", "in tono formale", "con il motivo")),
    "zh": (("总结", "改写", "找出错误:", "拟一个标题:", "分类:", "翻译成英文:", "解释", "起草回复:", "列出风险:", "润色"), ("这段文字", "下面的内容", "这条记录", "我的笔记", "以下段落"), ("，给周报用", "，给客户看", "，放到文档里", "，给同事", "，给新手", "，用于汇报", "，用于网站", "，用于提交说明"), ("", "，两句话以内", "，用列表", "，不要开场白", "，语气正式", "，说明理由")),
    "ja": (("次の文章", "このメモ", "以下の内容", "この段落", "この記録"), ("を社内報向けに", "をお客様向けに", "をドキュメント用に", "をチーム向けに", "を初心者向けに", "を報告書用に", "をサイト用に", "を授業用に"), ("要約して", "書き直して", "校正して", "分類して", "英語に訳して", "説明して", "箇条書きにして", "題名を付けて"), ("", "。二文で", "。前置きなしで", "。丁寧に", "。理由も", "。表で")),
    "ko": (("다음 글을", "이 메모를", "아래 내용을", "이 단락을", "이 기록을"), (" 사내 공지용으로", " 고객용으로", " 문서용으로", " 팀용으로", " 초보자용으로", " 보고서용으로", " 웹사이트용으로", " 수업용으로"), (" 요약해 줘", " 고쳐 써 줘", " 교정해 줘", " 분류해 줘", " 영어로 번역해 줘", " 설명해 줘", " 목록으로 정리해 줘", " 제목을 붙여 줘"), ("", ". 두 문장으로", ". 서론 없이", ". 정중하게", ". 이유도", ". 표로")),
    "ru": (("Кратко изложи", "Перепиши", "Найди ошибки:", "Придумай заголовок:", "Классифицируй", "Переведи на английский", "Объясни", "Напиши ответ:", "Перечисли риски:", "Проверь"), ("этот текст", "заметку", "запись", "абзац", "следующее"), ("для рассылки", "для клиента", "для вики", "для команды", "для урока", "для отчёта", "для сайта", "для новичка"), ("", "в двух фразах", "списком", "без вступления", "официально", "с обоснованием")),
}
CJK = frozenset({"zh", "ja", "ko"})


def own_words(rng: np.random.Generator, language: str) -> str:
    """Return a personal wording in this language."""
    parts = [choose(rng, part) for part in ASKS[language]]
    return "".join(parts) if language in CJK else " ".join(part for part in parts if part)


def speak(rng: np.random.Generator, one: Account, language: str, hour: float = 13.8, spread: float = 2.5) -> None:
    """Set country, zone and hours of a speaker of this language."""
    one.country, zone = choose(rng, LANDS[language])
    one.state["language"], one.hour = language, float(rng.normal(hour, spread) - zone)


def draw_language(rng: np.random.Generator) -> str:
    return choose(rng, list(LANGUAGES), list(LANGUAGES.values()))


# --- accounts and their networks -----------------------------------------------------------------------------


AGENTS = ("curl/8.17.0", "Go-http-client/2.0", "python-requests/2.32.5", "axios/1.13.2", "okhttp/5.3.0", "python-httpx/0.28.1", "reqwest/0.12.24", "node", "Guzzle/7.10", "Java-http-client/25", "one-api/0.6.11", "aiohttp/3.13.2")
SDKS = ("wren-python/1.14.0", "wren-node/0.31.2", "langchain-wren/1.0.3", "ai-sdk/5.0.90", "wren-go/0.9.1")
USES = ("personal projects", "software development", "customer service", "education", "research", "writing", "document processing", "internal tools", "product feature", "games")
SCHOOLS = ("uni-lindhag.edu", "ufmontal.edu", "sakuragaoka.edu", "karst.edu", "tuvolmen.edu", "lakeshore.edu", "univ-orgeval.edu", "poliventa.edu")


def firm_facts(key: str) -> dict[str, str]:
    """Return organisation, card and mail domain of a company."""
    number = keyed("thirteenth firm", key)
    return {"org": f"org_{number % 10**9:09d}", "payment": f"card_{keyed('thirteenth firm card', key):012x}"[:18], "email_domain": f"{('nordlicht', 'quanta', 'bluefin', 'mirador', 'hikari', 'tessera', 'loma', 'verdant')[number % 8]}-{number // 9 % 10**4}.com"}


def token(key: str, rng: np.random.Generator) -> str | None:
    """Return what the log shows of a person's payment."""
    form = choose(rng, ("card", "wallet", None), (0.82, 0.13, 0.05))
    return form and f"{form}_{keyed('thirteenth pays', key):012x}"[:18]


def open_account(rng: np.random.Generator, key: str, kind: str, settings: Settings, agent: str, life: float) -> Account:
    """Create an account that exists throughout the log and was made before it. Honest and campaign accounts are made the same way."""
    one = new_account(rng, f"thirteenth {key}", kind, settings, agent or choose(rng, AGENTS), life)
    one.start, one.end, one.created = 0.0, DAYS, moment(-0.2 - life * rng.random() ** 0.8)
    one.state |= {"own": {}, "late": NEVER}
    speak(rng, one, draw_language(rng))
    one.tier = choose(rng, ("payg", "plan", "free", "scale"), (0.44, 0.28, 0.2, 0.08))
    one.declared_use = choose(rng, USES) if rng.random() < 0.45 else None
    one.payment = token(one.name, rng) if one.tier != "free" else None
    return one


def near(rng: np.random.Generator, default: Settings, keeps: Sequence[float]) -> Settings:
    """Return the default, each part kept with its own probability; else what people choose."""
    model, temperature, limit = (rng.random() < keep for keep in keeps)
    return replace(default, model=default.model if model else choose(rng, list(MODELS), list(MODELS.values())), temperature=default.temperature if temperature else choose(rng, TEMPERATURES), max_tokens=default.max_tokens if limit else choose(rng, LIMITS))


class Places(Networks):
    """Addresses that many accounts share, and somebody's places."""

    def __init__(self, rng: np.random.Generator) -> None:
        def of(number: int, *systems: int) -> list[tuple[str, int]]:
            return [(address(rng)[0], choose(rng, systems)) for _ in range(number)]

        self.shared = {"platform": of(20, 16509, 13335, 396982), "mobile": of(60, 21928, 12430, 55836, 26599, 2516), "exits": of(30, 9009, 212238, 60068), "coworking": of(10, 7018, 3320, 28573)}
        self.campuses = [of(2, system) for system in (680, 2200, 1930, 2907, 1916, 137)]
        self.vendors = {"mail_helper": of(4, 16509), "home_hub": of(2, 396982)}


def forget(accounts: Sequence[Account], log: Log) -> None:
    """Remove facts that the log does not have: by company or by account, honest or not."""
    gaps: dict[str, dict] = {}
    for one in accounts:
        place, network, client, billing, entry = np.random.default_rng(keyed("thirteenth gap", one.state.get("firm") or one.name)).random(5)
        fields: dict = ({"asn": None} if min(place / 0.02, network / 0.06) < 1 else {}) | ({"client_ip": None} if place < 0.02 else {}) | ({"user_agent": None} if client < 0.05 else {})
        one.addresses = [(None if "client_ip" in fields else ip, None if "asn" in fields else asn) for ip, asn in one.addresses]
        one.user_agent = None if "user_agent" in fields else one.user_agent
        one.org, one.payment = None if entry < 0.1 else one.org, None if billing < 0.04 else one.payment
        gaps[one.name] = fields
    for row in log.rows:
        row |= gaps[row["account"]]


# --- single people -------------------------------------------------------------------------------------------


STANDS = (("{ask}\n{text}", None), ("{text}\n\n{ask}", None), ("{text}", "{ask}"))
FOLLOW = ("more detail please", "shorter", "no, {file} is something else", "why?", "and in {file}?", "thanks", "give me an example", "rewrite the second half", "is that still true?", "what about: {line}", "hmm, not quite", "continue")
NOTES = {"en": ("Tidy up this note and add three tags.", "Turn the note into: summary, decisions, open points, tags."), "de": ("Räume diese Notiz auf und vergib drei Schlagworte.", "Mach aus der Notiz: Zusammenfassung, Entscheidungen, Offenes, Schlagworte."), "fr": ("Mets cette note au propre et ajoute trois mots-clés.", "Transforme la note : résumé, décisions, points ouverts, mots-clés."), "es": ("Ordena esta nota y añade tres etiquetas.", "Convierte la nota en: resumen, decisiones, pendientes, etiquetas."), "pt": ("Organize esta nota e inclua três etiquetas.", "Transforme a nota em: resumo, decisões, pendências, etiquetas."), "ja": ("このノートを整えてタグを三つ付けてください。", "ノートを要約、決定、未決、タグに分けてください。"), "zh": ("整理这条笔记并加三个标签。", "把笔记整理成:摘要、决定、待办、标签。")}
MAILS = {"en": ("Write a reply to this mail in my style.", "Read the mail, say in one line what is wanted, then write the reply in my style."), "de": ("Schreibe eine Antwort auf diese Mail in meinem Stil.", "Lies die Mail, nenne in einer Zeile das Anliegen, dann antworte in meinem Stil."), "fr": ("Écris une réponse à ce mail dans mon style.", "Lis le mail, dis en une ligne ce qui est voulu, puis réponds dans mon style."), "es": ("Escribe una respuesta a este correo con mi estilo.", "Lee el correo, di en una línea qué se pide y luego responde con mi estilo."), "pt": ("Escreva uma resposta a este e-mail no meu estilo.", "Leia o e-mail, diga em uma linha o que se pede e responda no meu estilo."), "ja": ("このメールに私の文体で返信を書いてください。", "メールの要件を一行で述べ、私の文体で返信を書いてください。"), "zh": ("用我的风格回复这封邮件。", "先用一句话说明来意,再用我的风格回复。")}
LOCAL = {"notes_app": NOTES, "mail_helper": MAILS}
FIGURES = tuple(f"{a} {b}, {c}" for a in ("Ysolde", "Brack", "Captain Wen", "Old Marta", "Unit 9", "Prince Ilio", "Detective Roe", "Nanaki", "Sir Puddle", "Dr Quill", "Aunt Zora", "The Ferryman") for b in ("of the salt towers", "from deck seven", "who deals in maps", "once a judge", "the exile", "of the night bus") for c in ("sly and kind", "short of breath", "afraid of birds", "never lies", "in love", "owes money", "counts everything"))
PRODUCTS = (
    *(Product(kind, number // 3 + (at < number % 3), agent, settings, prompt, system, output=150, units=units, life=600, moves=0.18)
      for kind, number, agent, settings, units in (("api_python", 1500, "wren-python/1.14.0", Settings(USUAL, None, None, False), 8), ("api_node", 800, "wren-node/0.31.2", Settings(USUAL, None, 2048, True), 8), ("api_other", 500, "", Settings(SMALL, None, 1024, False), 8))
      for at, (prompt, system) in enumerate(STANDS)),
    Product("quick_look", 1300, "Mozilla/5.0 (wren workbench)", Settings(USUAL, 1.0, 1024, True), "{ask}\n{text}", output=220, gap=3, units=1.7, life=0.01),
    Product("chat_desk", 500, "deskchat/2.8.0", Settings(USUAL, 0.8, 4096, True), "{text}\n{ask}", "You are the assistant in DeskChat. Be helpful and honest.", follow=FOLLOW, follow_share=0.5, output=240, gap=3, units=6, life=450, moves=0.1),
    Product("chat_phone", 450, "PalmChat/9.1 (iOS 19)", Settings(SMALL, 1.0, 1500, True), "{ask}: {text}", follow=FOLLOW, follow_share=0.45, output=170, gap=2, units=5, life=300, moves=0.1),
    Product("code_agent", 600, "wren-code-cli/2.3.1", Settings(USUAL, None, 32000, True, None, 15), "{text}\n\n(in {file})", "You are the command-line agent of {root}. Read first, change little, run the tests. Ask before you delete.", "{text}\n\n[opened: {file}]\nBegin with a plan of at most four steps.", "<result of=\"{tool}\" at=\"{file}\">\n{text}\n</result>", parts=(2, 6), each={"tool": ("read", "search", "bash", "edit", "test")}, output=210, gap=0.6, units=4, life=250, update=(6.3, 0.9, 0.85, {"user_agent": "wren-code-cli/2.4.0"}), moves=0.18, session=True),
    Product("code_editor", 450, "tabsmith-vscode/5.2", Settings(CODE, 0.0, 4096, True, None, 9), "Request: {text}\nActive file: {file}", "Tabsmith, pair programmer. Project {root}. Answer with a patch or a question.", more="Follow-up on {file}: {text}", parts=(1, 4), output=180, gap=1, units=5, life=400, moves=0.18, session=True),
    Product("translate_ext", 350, "page-lens/3.3", Settings(SMALL, 0.0, 2000, True), "[{to}] {text}", "Translate the marked passage, keep the markup.", more="[{to}] {text}", parts=(1, 5), own={"to": ("en", "de", "es", "fr", "ja", "zh-TW", "pt-BR")}, output=100, gap=0.1, units=4, life=400),
    Product("story_front", 300, "taleforge/1.9", Settings(USUAL, 1.0, 700, True, 0.95), "{text}", "You play {card}. Never speak for the player.", follow=("go on", "what do you see?", "I leave the room", "{line}", "wait", "tell me the truth"), follow_share=0.6, own={"card": FIGURES}, output=150, gap=1.4, units=6, life=350),
    Product("flow_nodes", 300, "n8n/1.118.1", Settings(SMALL, 0.4, None, False), "{ask}\n<<<\n{text}\n>>>", output=80, units=13, life=500),
    Product("notes_app", 250, "margin-notes/6.4", Settings(SMALL, 0.3, 900, True), "{ask}\n\n{text}", later="{later}\n\n{text}", output=140, units=8, life=400, update=(13.2, 0.6, 0.8, {"max_tokens": 1600, "user_agent": "margin-notes/6.5"})),
    Product("mail_helper", 250, "replyrobin-server/41", Settings(USUAL, 0.5, 800, False), "{ask}\n---\n{text}", later="{later}\n---\n{text}", output=120, units=10, life=450, update=(9.6, 0.05, 1.0, {"model": NEW_MODEL, "max_tokens": 1200, "user_agent": "replyrobin-server/42"})),
    Product("lang_coach", 200, "parleur-app/4.0", Settings(USUAL, 0.6, 900, True), "{line}", "Coach for {aim}. Correct the learner gently, one rule at a time.", follow=("another one", "why?", "{line}", "how would a native say it?"), follow_share=0.5, own={"aim": ("Spanish A2", "English B2", "German B1", "Japanese N4", "French B1", "Korean A1")}, output=130, gap=2, units=6, life=300),
    Product("study_cards", 150, "cardbox-sync/2.2", Settings(SMALL, 0.2, 1200, False, None, 0, "json_object"), "Make {n} question-answer cards from:\n{text}", own={"n": ("3", "5", "8", "10")}, output=160, units=8, life=300),
    Product("commit_writer", 150, "gitscribe/0.14", Settings(SMALL, 0.2, 300, False), "Conventional commit for the staged change ({style}).\n{file}\n{text}", own={"style": ("with body", "subject only", "with scope", "emoji")}, output=40, units=11, life=300),
    Product("home_hub", 100, "hearthlink-cloud/12", Settings(SMALL, 0.1, 200, True, None, 6), "{line}", "House voice. Rooms: {rooms}. Use a tool or answer in ten words.", own={"rooms": ("kitchen, den", "flat with loft", "two floors", "studio", "farm and barn")}, output=25, units=12, life=500),
    Product("moved_in", 90, "shopfill-plugin/8.0 (wren)", Settings(USUAL, 0.7, 1000, False), "Product text for {shop}. Voice: {voice}.\n{text}", own={"shop": ("our shop", "the outlet", "the gallery", "the farm store", "the studio"), "voice": ("warm", "dry", "playful", "plain", "noble")}, output=130, units=11, life=0.05),
)
BY_KIND = {product.kind: product for product in PRODUCTS}
CLOCKED = frozenset({"api_python", "api_node", "api_other", "flow_nodes"})
CHATS = frozenset({"chat_desk", "chat_phone"})
TRIALS = ("hi", "test", "hello", "are you there?", "what model are you?", "2+2", "ping", "hola", "你好", "say something")


def change_later(rng: np.random.Generator, product: Product, one: Account) -> None:
    """Set the product's release, which keeps the account's own choices, and the new model for those who switch."""
    changes = one.state.setdefault("changes", [])
    if product.update and rng.random() < product.update[2]:
        day, delay, _, new = product.update
        one.state["late"] = day + min(float(rng.exponential(delay)), 4 * delay)
        changes.append((one.state["late"], {name: value for name, value in new.items() if name == "user_agent" or getattr(one.settings, name) == getattr(product.settings, name)}))
    if rng.random() < product.moves:
        changes.append((LAUNCH_DAY + rng.exponential(3.0), {"model": NEW_MODEL}))
    changes.sort(key=lambda change: change[0])


def crowd(rng: np.random.Generator, product: Product, number: int, world: Honest, nets: Places) -> list[Account]:
    """Create a product's accounts: settings, lifetimes, networks, words and later changes."""
    keeps = (0.35,) * 3 if product.kind.startswith("api_") else (rng.uniform(0.5, 0.97), rng.uniform(0.75, 1.0), rng.uniform(0.75, 1.0))
    accounts = []
    for at in range(product.accounts):
        one = open_account(rng, f"{product.kind} {number} {at}", product.kind, near(rng, product.settings, keeps), product.agent, product.life)
        language = one.state["language"]
        if product.kind in ("quick_look", "moved_in") or rng.random() < 0.16:
            one.start, one.state["at_once"] = float(11 + rng.beta(2, 4) * 2 if product.kind == "moved_in" else rng.uniform(0, DAYS - 0.5)), True
            one.created = moment(one.start - rng.exponential(0.2 if product.life > 1 else 0.01))
        if rng.random() < 0.2 and product.kind != "moved_in":
            one.end = max(one.start + 0.3, float(rng.uniform(one.start, DAYS)))
        if product.kind == "quick_look":
            one.tier, one.payment = "free", None
        elif product.kind in CHATS and one.tier == "free":
            one.tier, one.payment = "plan", token(one.name, rng)
        one.state["own"] = {name: choose(rng, items) for name, items in product.own.items()} | {"ask": own_words(rng, language)}
        if product.kind in LOCAL:
            one.state["own"] |= dict(zip(("ask", "later"), LOCAL[product.kind].get(language, LOCAL[product.kind]["en"]), strict=True))
        change_later(rng, product, one)
        place = rng.random()
        if product.kind in nets.vendors:
            one.addresses = nets.vendors[product.kind]
        elif product.kind in CLOCKED and place < 0.45:
            one.addresses = nets.place(rng, "hosting" if place < 1 / 3 else "platform", [], [])
            if rng.random() < 0.4:
                one.state["minute"] = rng.random()
        elif product.kind not in CLOCKED and place < 0.1:
            one.addresses = [*one.addresses, choose(rng, nets.shared["mobile"])]
        elif product.kind not in CLOCKED and place < 0.23:
            one.addresses = nets.place(rng, "exits" if place < 0.16 else "campus" if place < 0.2 else "coworking", [], [])
            one.email_domain = choose(rng, SCHOOLS) if 0.16 <= place < 0.2 and rng.random() < 0.4 else one.email_domain
        accounts.append(one)
    world.products.append({"product": product.agent, "kind": product.kind, "default_model": product.settings.model, "max_tokens": product.settings.max_tokens, "temperature": product.settings.temperature, "keep": [round(float(keep), 2) for keep in keeps]})
    return accounts


# --- companies -----------------------------------------------------------------------------------------------


TRADES = ("Airline catering", "Notary chamber", "Bicycle parts", "Energy coop", "Hotel group", "Fruit imports", "Car sharing", "Museum network", "Payroll", "Tile factory", "Pharmacy chain", "Port authority", "Games studio", "Insurance broker", "Language school", "Hospital trust", "Furniture", "Telecom reseller", "Ticketing", "City council")
HOUSES = (("You assist the staff of", "Internal assistant,", "You speak for", "Tool of"), tuple(f"{a} {b}." for a in ("Never invent", "Do not disclose", "Always check", "Leave out", "Do not comment on", "Flag") for b in ("prices", "names of clients", "dates of delivery", "legal matters", "rumours", "figures without a source", "competitors")), ("Answer in the user's language.", "Audit is on.", "Rule book 4 applies.", ""))
STAFF = (  # with one real author each
    Product("firm_code", 220, "", Settings(USUAL, 0.0, 8192, True, None, 12), "Task: {text}\nIn: {file}", "Developer agent. Repository {root}.", more="[{tool}] {file}\n{text}", parts=(2, 5), each={"tool": ("open", "grep", "patch", "run")}, output=200, gap=0.8, units=5, moves=0.18, session=True),
    Product("firm_trial", 140, "", Settings(USUAL, None, None, False), "{ask}\n{text}", output=160, units=3),
)
DESKS = {"firm_app": (230, 9, USUAL), "firm_docs": (180, 18, USUAL), "firm_extract": (190, 22, SMALL), "firm_desk": (110, 7, SMALL), "firm_batch": (130, 0, SMALL), "firm_eval": (50, 0, USUAL)}  # accounts, median, model
OF_PEOPLE = {product.kind: product for product in STAFF}
FIELDS = ("intent", "date", "place", "person", "amount", "product", "language", "urgency", "channel", "sentiment", "device", "reference number")
HARNESS = (("exam pairs", "Item:\n{}\nPick one option. End with \"Answer: X\"."), ("sat pairs", "{}\nAnswer with the letter only."), ("mmlu_sample", "{}"), ("gsm8k_test", "Q: {}\nA:"), ("algebra pairs", "{}\nFinal choice in brackets."), ("alpaca_eval_805", "{}"))


@dataclass
class Company:
    """A company with keys of the API."""

    key: str
    keys: list[Account] = field(default_factory=list)


def found_companies(rng: np.random.Generator, nets: Places) -> list[Company]:
    """Create companies, each with its habits, until all keys have one."""
    defaults = {product.kind: product.settings for product in STAFF} | {kind: Settings(model, 0.2, 1024, kind == "firm_app") for kind, (_, _, model) in DESKS.items()}
    left = [product.kind for product in STAFF for _ in range(product.accounts)] + [kind for kind, (number, _, _) in DESKS.items() for _ in range(number)]
    left = [left[at] for at in rng.permutation(len(left))]
    companies: list[Company] = []
    while left:
        size, key = min(len(left), 40, int(rng.zipf(1.75))), f"company {len(companies)}"
        facts, language, site = firm_facts(key), draw_language(rng), choose(rng, ("office", "server", "platform", "hosting"), (0.35, 0.35, 0.2, 0.1))
        pays, addresses = choose(rng, (None, facts["payment"])), nets.place(rng, site, [], [address(rng, site == "server")])
        libraries, tier, hour = [choose(rng, (*SDKS, *AGENTS)) for _ in range(int(rng.integers(1, 3)))], choose(rng, ("payg", "scale"), (0.5, 0.5)), float(rng.normal(12.5, 1.0))
        house = f"{choose(rng, HOUSES[0])} {choose(rng, TRADES)} {keyed('thirteenth', key) % 900}. {choose(rng, HOUSES[1])} {choose(rng, HOUSES[2])}".strip() if rng.random() < 0.4 else None
        company = Company(key)
        for at in range(size):
            kind = left.pop()
            one = open_account(rng, f"{key} {at}", kind, near(rng, defaults[kind], (0.6, 0.8, 0.8)), choose(rng, libraries), 700)
            one.org, one.payment, one.email_domain, one.tier = facts["org"], pays, facts["email_domain"], tier
            one.addresses = one.addresses if kind == "firm_code" and rng.random() < 0.5 else addresses
            speak(rng, one, language, hour, 1.0)
            one.state |= {"firm": key, "pool": key, "reacts": "company", "house": house}
            if rng.random() < 0.15:
                one.start = float(rng.uniform(0, DAYS - 2))
                one.created = moment(one.start - rng.exponential(0.5))
            if product := OF_PEOPLE.get(kind):
                one.state["own"] = {"ask": own_words(rng, language)}
                change_later(rng, product, one)
            company.keys.append(one)
        companies.append(company)
    return companies


Sessions = Mapping[str, Iterator[list[Piece]]]  # sessions of people whom no account has, by language; "xx single": of one text


def singles(sessions: Iterator[list[Piece]]) -> Iterator[list[Piece]]:
    return ([piece] for session in sessions for piece in session)


def passages(rng: np.random.Generator, stock: Stock, language: str, count: int) -> list[str]:
    """Return passages that a company holds, in its language if there are any."""
    for pool in (f"passages {language} pairs", choose(rng, ("court pairs", "news pairs", "standards pairs", "lessons pairs", "health pairs"))):
        try:
            return [text for _, text in stock.take(pool, count)]
        except (KeyError, ValueError):
            continue
    return [text for _, text in stock.take("news pairs", count)]


def batch_rows(rng: np.random.Generator, one: Account, owner: Person, days: float = DAYS) -> list[Row]:
    """Return requests: a nightly or weekly batch over one author's texts, at a fixed minute."""
    task, minute, weekly = own_words(rng, one.state["language"]), rng.random(), rng.random() < 0.3
    nights = range(int(one.start) + 1 + int(rng.integers(5) if weekly else 0), int(days) - 1, 7 if weekly else 1)
    size = int(np.clip(rng.lognormal(np.log(22 if weekly else 7), 0.6), 3, max(3, len(owner.texts) // max(1, len(nights)))))
    texts = cycle(owner.texts)
    return [(one, night + minute + at * 5 / 86400, [Request(f"{task}\n{next(texts)[:2000]}", output=80)]) for night in nights for at in range(size)]


def eval_rows(rng: np.random.Generator, one: Account, sets: Sequence[tuple[Sequence[str], str]]) -> list[Row]:
    """Return requests of a harness for a part of a public set, two or three times, on two models."""
    items, frame = choose(rng, sets)
    first, size = int(rng.integers(0, len(items) // 2)), int(rng.integers(30, 90))
    models, rows = (one.settings.model, choose(rng, [name for name in MODELS if name != OLD])), []
    for run in range(int(rng.integers(2, 4))):
        begin = float(rng.uniform(one.start + 0.05, one.end - 0.3))
        key = replace(one, settings=replace(one.settings, model=models[run % 2], temperature=0.0))
        rows += [(key, begin + at * float(rng.uniform(2, 9)) / 86400, [Request(frame.replace("{}", item), output=120)]) for at, item in enumerate(items[first : first + size])]
    return rows


def support_unit(rng: np.random.Generator, stock: Stock, language: str, frame: str, customers: Sessions) -> Unit:
    """Return a customer's lines, by somebody of this language."""
    user = f"c{rng.integers(5000):04d}"
    try:
        return talk_unit(rng, stock.take("talks pairs" if language == "en" else f"chats {language} pairs", 1)[0][1], frame, user)
    except (KeyError, ValueError):
        return [Request(text[:400], frame, turn + 1, 70, True, 1.3, None, user) for turn, (text, _) in enumerate(next(customers[language])[:5])]


def desk_rows(rng: np.random.Generator, one: Account, count: int, stock: Stock, customers: Sessions) -> list[Row]:
    """Return requests: what a company's key sends that no single person writes."""
    language = one.state["language"]
    if one.kind == "firm_app":
        system = f"{choose(rng, TRADES)} app {keyed(one.name) % 500}. {choose(rng, HOUSES[1])}"
        units = [[Request(text[:2500], system, turn + 1, 170, True, 2, None, f"u{rng.integers(400):03d}") for turn, (text, _) in enumerate(next(customers[language])[:4])] for _ in range(count)]
    elif one.kind == "firm_desk":
        frame = f"{choose(rng, TRADES)} support {keyed(one.name) % 500}. {choose(rng, HOUSES[1])} {choose(rng, HOUSES[2])}".strip()
        units = [support_unit(rng, stock, language, frame, customers) for _ in range(count)]
    elif one.kind == "firm_docs":
        shelf, lead = passages(rng, stock, language, 6), f"{own_words(rng, language)} {choose(rng, HOUSES[1])}"
        units = [[Request(next(customers[f"{language} single"])[0][0][:300], f"{lead}\n[1] {choose(rng, shelf)}\n[2] {choose(rng, shelf)[:600]}", output=130)] for _ in range(count)]
    else:
        names = ", ".join(str(name) for name in rng.choice(FIELDS, int(rng.integers(2, 5)), replace=False))
        task = f"{choose(rng, ('Fields:', 'Extract', 'Return as JSON:', 'Tag with', 'Read out'))} {names}. {choose(rng, ('Null if absent.', 'No text around it.', 'Codes of list ' + str(keyed(one.name) % 80) + '.', 'Keep the spelling.'))}"
        texts = [text for _, text in stock.take(choose(rng, ("utterances pairs", "commands pairs", "requests pairs")), count)] if language == "en" else [next(customers[f"{language} single"])[0][0][:240] for _ in range(count)]
        return in_jobs(rng, [one], [[Request(f"{task}\n{text}", output=25)] for text in texts], 4)
    return [(one, float(when), unit) for when, unit in zip(times_of(rng, one, count), units, strict=True)]


def resold_rows(rng: np.random.Generator, accounts: Sequence[Account], customers: Sessions, people: int, each: int) -> Iterator[Row]:
    """Yield requests: the traffic of a reseller's customers, each with words and settings of their own, over whichever key is free."""
    for _ in range(people):
        language = draw_language(rng)
        ask, settings, place = own_words(rng, language), near(rng, Settings(USUAL, None, None, True), (0.5,) * 3), int(rng.integers(3))
        texts = [text for _ in range(int(np.clip(rng.lognormal(np.log(each / 4), 0.9), 1, 60))) for text, _ in next(customers[language])]
        prompts = [(f"{ask}\n{text[:2500]}", f"{text[:2500]}\n\n{ask}", text[:2500])[place] for text in texts]
        for one, when, unit in deal_queue(rng, accounts, [[Request(prompt, ask if place == 2 else None, output=160)] for prompt in prompts]):
            yield replace(one, settings=settings), when, unit


def compose_resellers(rng: np.random.Generator, world: Honest, customers: Sessions, nets: Places) -> None:
    for number in range(12):
        facts, site = firm_facts(f"reseller {number}"), [address(rng, True)]
        accounts = [open_account(rng, f"reseller {number} {at}", "reseller", Settings(USUAL, None, None, True), ("one-api/0.6.11", "new-api/0.9.27", "litellm/1.79.1")[number % 3], 500) for at in range(4)]
        for one in accounts:
            one.org, one.payment, one.email_domain, one.tier, one.addresses = facts["org"], facts["payment"], facts["email_domain"], "scale", site
            one.state |= {"firm": f"reseller {number}", "pool": f"reseller {number}", "reacts": "company"}
        world.accounts += accounts
        for one, when, unit in resold_rows(rng, accounts, customers, int(rng.integers(10, 41)), 18):
            world.log.add(rng, one, when, list(unit))


# --- accounts outside organised groups ------------------------------------------------------------------------


def speakers(rng: np.random.Generator, needs: Mapping[str, tuple[Product, int]], counts: dict[str, int], languages: Mapping[str, str], people: Mapping[str, Sequence[Person]], world: Honest) -> dict[str, list[Piece]]:
    """Return texts of a person for each account, in its language if there are any, else English."""
    spoken: dict[str, list[Piece]] = {}
    for language in [*(name for name in people if name != "en"), "en"]:
        wanted = {name: need for name, need in needs.items() if name not in spoken and (language == "en" or languages[name] == language)}
        order = sorted(wanted, key=lambda name: keyed("thirteenth turn", name))[: len(people[language]) * 9 // 10]
        iterators, report = people_of(rng, within_texts(counts, {name: wanted[name] for name in order}, people[language]), people[language])
        spoken |= {name: list(pieces) for name, pieces in iterators.items()}
        world.people += report
    return spoken


def talk_of(rng: np.random.Generator, stock: Stock, product: Product, one: Account, customers: Sessions) -> Unit:
    """Return a conversation by a stranger in the account's language: real if there is one, else a text with a request."""
    language = one.state["language"]
    if language == "en":
        return conversation(product, one, stock.take("talks", 1)[0])
    try:
        return talk_unit(rng, stock.take(f"chats {language} pairs", 1)[0][1], product.system, None, product.output)
    except (KeyError, ValueError):
        text = next(customers[f"{language} single"])[0][0]
        return [Request(f"{own_words(rng, language)}\n{text[:2000]}", product.system, output=product.output)]


def count_units(rng: np.random.Generator, product: Product, one: Account) -> int:
    sigma, most = (1.5, 500) if product.kind.startswith("firm_") else (0.5, 5) if product.kind == "quick_look" else (1.35, 320)
    share = 1.0 if product.kind == "quick_look" else (one.end - one.start) / DAYS
    return max(1, int(np.clip(rng.lognormal(np.log(product.units), sigma), 1, most) * share))


def compose_people(rng: np.random.Generator, world: Honest, stock: Stock, people: Mapping[str, Sequence[Person]], nets: Places, customers: Sessions, companies: Sequence[Company]) -> None:
    """Compose all accounts that speak as one person, or hold real conversations."""
    crowds = [(product, crowd(rng, product, at, world, nets)) for at, product in enumerate(PRODUCTS)]
    ban_in_error(rng, [one for _, accounts in crowds for one in accounts], DAYS, 12, 8)
    crowds += [(product, [one for company in companies for one in company.keys if one.kind == product.kind]) for product in STAFF]
    counts, needs, languages = {}, {}, {}
    for product, accounts in crowds:
        for one in accounts:
            counts[one.name], languages[one.name] = count_units(rng, product, one), one.state["language"]
            if product.kind == "quick_look" or (product.kind in CHATS and rng.random() < 1 / 3):
                counts[one.name] = min(counts[one.name], 12)
            else:
                needs[one.name] = (product, int(np.ceil(counts[one.name] * np.mean(product.parts))))
    spoken, entry = speakers(rng, needs, counts, languages, people, world), {row["account"]: row for row in world.people}
    for product, accounts in crowds:
        for one in accounts:
            before, own, times = len(world.log.rows), spoken.get(one.name), times_of(rng, one, counts[one.name])
            if "minute" in one.state:
                times = np.sort(at_the_minute(one, times))
            if one.name not in needs:
                world.add(rng, one, times, [talk_of(rng, stock, product, one, customers) for _ in times])
            elif own:  # else no person has so many texts
                world.add(rng, one, times, units_of(rng, product, one, times, own))
                entry[one.name]["exchanges"] = len(world.log.rows) - before
            if one.state.get("at_once") and rng.random() < 1 / 4:  # a manual trial comes first
                world.log.add(rng, one, one.start + float(rng.uniform(0.0002, 0.002)), [Request(choose(rng, TRIALS), output=20)])


def compose_majority(rng: np.random.Generator, world: Honest, stock: Stock, people: Mapping[str, Sequence[Person]], staff: Mapping[str, Sequence[Person]], nets: Places, customers: Sessions) -> None:
    """Compose all accounts that belong to no organised group."""
    companies = found_companies(rng, nets)
    compose_people(rng, world, stock, people, nets, customers, companies)
    sets = [([item if isinstance(item, str) else item[1] for item in stock.take(pool, 180)], frame) for pool, frame in HARNESS]
    rows: dict[str, list[Row]] = defaultdict(list)
    busy = {language: [*(one for one in own if len(one.texts) >= 30), *sorted(own, key=lambda one: -len(one.texts))[:8]] for language, own in staff.items()}
    for one in (one for company in companies for one in company.keys if one.kind in DESKS):
        median = DESKS[one.kind][1]
        count = max(1, int(np.clip(rng.lognormal(np.log(median or 1), 1.5), 1, 400) * (one.end - one.start) / DAYS))
        world.accounts.append(one)
        rows[one.name] = batch_rows(rng, one, choose(rng, busy[one.state["language"]])) if one.kind == "firm_batch" else eval_rows(rng, one, sets) if one.kind == "firm_eval" else desk_rows(rng, one, count, stock, customers)
        for key, when, unit in rows[one.name]:
            world.log.add(rng, key, max(float(when), one.start), housed(one, unit))
    compose_resellers(rng, world, customers, nets)
