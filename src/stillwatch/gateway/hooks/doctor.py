"""Checks the hooks' setup: the process, its keys, LiteLLM's configuration.

LiteLLM's YAML is searched for words, line by line, without comments.
"""

import re
from pathlib import Path

from stillwatch.errors import InputError
from stillwatch.gateway import heartbeat
from stillwatch.gateway.control.tables import load_tables
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.hooks import OWNER
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.gateway.setup_check import SetupCheck

FILES = Path(__file__).with_name("files")
CALLBACK = "stillwatch_litellm"
FRESH_US = 15_000_000
_OFF = re.compile(r"^\s*global_disable_no_log_param:\s*(true|yes|on)\s*$", re.IGNORECASE)


def look(folder: Folder, now_us: int, litellm: Path | None = None) -> list[SetupCheck]:
    """Run all checks that are possible from here. Raises: InputError if the configuration cannot be read."""
    checks = [_port(folder), _process(folder, now_us), _keys(folder, now_us)]
    if litellm is not None:
        checks += _litellm(litellm)
    return checks


def _port(folder: Folder) -> SetupCheck:
    settings = GatewaySettings.load(folder.settings)
    if settings.hooks_port is None:
        return SetupCheck(
            "port", "error", "no port for hooks; start `stillwatch serve --hooks-port 8082` once"
        )
    return SetupCheck("port", "ok", f"{settings.hooks_host}:{settings.hooks_port}")


def _process(folder: Folder, now_us: int) -> SetupCheck:
    says = heartbeat.read(folder.run / "hooks.json")
    if now_us - int(says.get("at") or 0) > FRESH_US:
        return SetupCheck("process", "error", "gives no sign; is `stillwatch serve` running?")
    wrong = [str(says[key]) for key in ("capture", "terms_error", "tables_error", "error") if says.get(key)]
    if wrong:
        return SetupCheck("process", "warning", "; ".join(wrong))
    rows = sum((says.get("rows") or {}).values())
    text = f"{says['decisions']:,} decisions, {rows:,} rows, {says['dead']:,} dead letters since it began"
    return SetupCheck("process", "warning" if says["dead"] else "ok", text)


def _keys(folder: Folder, now_us: int) -> SetupCheck:
    entries = load_tables(folder.state).keys.values()
    live = sorted(
        {
            entry.account
            for entry in entries
            if entry.account.startswith(OWNER)
            and not entry.disabled
            and (entry.expires_us is None or entry.expires_us > now_us)
        }
    )
    if not live:
        return SetupCheck("keys", "error", f"none yet; `stillwatch key issue {OWNER}litellm` makes one")
    return SetupCheck("keys", "ok", ", ".join(live))


def _litellm(path: Path) -> list[SetupCheck]:
    try:
        yaml = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as why:
        raise InputError(f"{path}: cannot be read: {why}; give LiteLLM's config.yaml") from why
    lines = [line for line in yaml.splitlines() if not line.lstrip().startswith("#")]
    config = "\n".join(lines)
    inside, outside = f"{CALLBACK}." in config, "generic_api" in config.replace("generic_guardrail_api", "")
    checks = []
    if inside:
        checks.append(_beside(path))
    if outside and not any(map(_OFF.match, lines)):
        text = '"no-log": true in a request silences generic_api; set global_disable_no_log_param: true'
        checks.append(SetupCheck("litellm", "warning", text))
    if outside and not inside and "generic_guardrail_api" not in config:
        checks.append(
            SetupCheck("litellm", "warning", "logs come, but nothing asks: no generic_guardrail_api")
        )
    if "turn_off_message_logging" in config and not inside:
        checks.append(
            SetupCheck("litellm", "warning", "turn_off_message_logging: records come without prompts")
        )
    if inside and outside:
        checks.append(
            SetupCheck("litellm", "warning", "the callback and generic_api both tell: each exchange twice")
        )
    if not inside and not outside:
        checks.append(SetupCheck("litellm", "error", f"names neither {CALLBACK}.stillwatch nor generic_api"))
    return checks or [SetupCheck("litellm", "ok", "generic_api tells, generic_guardrail_api asks")]


def _beside(path: Path) -> SetupCheck:
    shipped, copy = FILES / f"{CALLBACK}.py", path.parent / f"{CALLBACK}.py"
    if not copy.exists():
        return SetupCheck("litellm", "error", f"{copy} is missing; cp {shipped} {path.parent}/")
    if copy.read_bytes() != shipped.read_bytes():
        return SetupCheck("litellm", "warning", f"{copy} is not the one of this version; cp {shipped} {copy}")
    return SetupCheck("litellm", "ok", "the callback asks and tells")
