"""Stillwatch inside LiteLLM's proxy: decides before each call, hides banned models, reports every exchange.

Put this one file beside LiteLLM's config.yaml and name it there: `callbacks: stillwatch_litellm.stillwatch`.
It needs only what LiteLLM's proxy has. Stillwatch decides; this file does while Stillwatch is unreachable.

    STILLWATCH_HOOKS_URL      http://127.0.0.1:8082
    STILLWATCH_HOOKS_TOKEN    from `stillwatch key issue hook:litellm`
    STILLWATCH_FAIL_OPEN      true: calls proceed while Stillwatch cannot be reached; bans as last received
    STILLWATCH_TIMEOUT_S      0.5
    STILLWATCH_QUEUE_BYTES    67108864: records waiting for Stillwatch; further ones are dropped and counted
    STILLWATCH_STATE          file of the last list of bans; by default beside this one

Tested with litellm 1.108.7. `_PROXY_` in the class's name prevents a client's `"no-log": true` from silencing
it; LiteLLM calls it because every hook is defined on this one class.
"""

import asyncio
import atexit
import fcntl
import json
import os
import signal
import threading
import time
import urllib.request
import uuid
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp  # type: ignore[import-not-found,unused-ignore]
from fastapi import HTTPException
from litellm._logging import verbose_proxy_logger as log  # type: ignore[import-not-found,unused-ignore]
from litellm.integrations.custom_logger import (  # type: ignore[import-not-found,unused-ignore]
    CustomLogger,
)

QUEUE_BYTES = 64 << 20
BATCH_RECORDS, BATCH_BYTES = 500, 4 << 20
SEND_S = 0.5  # a record waits at most twice as long
ENDING_S = 0.05
LIST_S = 15.0  # between two requests for the list of bans
UNTOLD_S = 900.0  # a call whose log event never came is reported without it
DECIDE = "/decide/json;answers=yes;held=960"  # an answer's possible tokens are held until its report
REMEMBERED = 20_000
FIELDS = (
    "id", "litellm_call_id", "trace_id", "session_id", "call_type", "stream", "status", "prompt_tokens",
    "completion_tokens", "startTime", "endTime", "model", "model_group", "api_base", "end_user",
    "requester_ip_address", "user_agent", "messages", "response", "model_parameters", "error_information",
)  # fmt: skip
ASKED = (  # fields with a request's texts
    "messages", "input", "prompt", "system", "instructions", "suffix", "contents", "systemInstruction",
    "tools", "functions", "response_format", "text", "documents", "prediction", "query", "inputs",
)  # fmt: skip
ALLOWS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
DOCUMENTS = ("JVBERi0", "UEsDB")  # the first base64 characters of PDF and Office files
OPERATIONS = {
    "acompletion": "chat", "completion": "chat", "aresponses": "responses", "responses": "responses",
    "anthropic_messages": "messages", "atext_completion": "completions", "text_completion": "completions",
    "aembedding": "embeddings", "embeddings": "embeddings",
}  # fmt: skip


class _Unreachable(Exception):
    pass


class Stillwatch_PROXY_Hook(CustomLogger):  # type: ignore[misc,unused-ignore]
    """One per LiteLLM process."""

    def __init__(self, **settings: str) -> None:
        super().__init__()
        values = {**os.environ, **settings}
        self.url = values.get("STILLWATCH_HOOKS_URL", "http://127.0.0.1:8082").rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError(f"STILLWATCH_HOOKS_URL is {self.url!r}; give http://host:port")
        self.token = values.get("STILLWATCH_HOOKS_TOKEN", "")
        if not self.token:
            raise ValueError(
                "STILLWATCH_HOOKS_TOKEN is not set; `stillwatch key issue hook:litellm` makes one"
            )
        self.fail_open = values.get("STILLWATCH_FAIL_OPEN", "true").lower() not in ("false", "0", "no")
        self.timeout_s = float(values.get("STILLWATCH_TIMEOUT_S", "0.5"))
        self.queue_bytes = int(values.get("STILLWATCH_QUEUE_BYTES", str(QUEUE_BYTES)))
        self.undecided = self.dropped = self.told = 0
        self._state = _State(values.get("STILLWATCH_STATE") or str(Path(__file__).with_suffix(".state")))
        self._list: dict[str, Any] | None = self._state.read().get("list")
        self._gaps: list[dict[str, Any]] = self._state.begin()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._dropping_since = self._waiting_since = 0
        self._open: OrderedDict[str, dict[str, Any]] = OrderedDict()  # by call id: decided, not yet reported
        self._allowed: OrderedDict[tuple[str, str], float] = OrderedDict()  # (account, name) -> until
        self._seen: OrderedDict[str, None] = OrderedDict()  # names that were requested
        self._targets: dict[str, tuple[list[str], list[str]]] = {}
        self._session: Any = None
        self._tasks: list[Any] = []
        self._wake: asyncio.Event | None = None
        self._ending = False
        atexit.register(self._goodbye)
        self._mind_signals()
        try:
            self._begin()
        except RuntimeError:  # no loop runs yet: start at the first call
            log.debug("stillwatch: begins with the first call")

    # --- before the call -------------------------------------------------------------------------------

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> None:
        """Get a decision on every name that may answer; refuse if Stillwatch does."""
        self._begin()
        who, name = _who(user_api_key_dict), str(data.get("model") or "")
        names, hosts = self._may_answer(name)
        query = {
            **who,
            "operation": OPERATIONS.get(str(getattr(call_type, "value", call_type)), "other"),
            "models": [*([name, *names] if name else []), *_beside(data)],
            "hosts": hosts,
            "stream": data.get("stream") is True,
            "n": data.get("n") if type(data.get("n")) is int else 1,
            "logprobs": bool(data.get("logprobs") or data.get("top_logprobs")),
            "max_tokens": max((data[key] for key in ALLOWS if type(data.get(key)) is int), default=None),
        }
        decision = await self._decide(query)
        call = str(data.get("litellm_call_id") or uuid.uuid4())
        entry = {
            "id": f"llm-{uuid.uuid4().hex}",  # ours: a client may choose LiteLLM's by x-litellm-call-id
            "account": who["account"],
            "at": time.time(),
            "type": str(getattr(call_type, "value", call_type)),
            "model": name,
            "end_user": who["end_user"],
            "asked": {key: _texts(data[key]) for key in ASKED if data.get(key) is not None},
            "rule": decision.get("rule"),
            "answer": decision.get("answer"),
            "outcome": None,
            "logged": 0,
        }
        if decision["allow"]:
            self._remember(self._open, call, entry)
            while len(self._open) > REMEMBERED:
                self._tell_of(self._open.popitem(last=False)[1])
            for model in query["models"]:
                self._remember(self._allowed, (who["account"], model), time.monotonic() + LIST_S)
            return
        self._tell_of(entry | {"asked": {}, "outcome": "refused", "status": decision.get("status", 403)})
        self._remember(self._open, call, entry | {"outcome": "refused"})
        raise self._refusal(decision)

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> None:
        """Check the actual target of each hop, including fallbacks and retries."""
        metadata = kwargs.get("litellm_metadata") or kwargs.get("metadata") or {}
        account = metadata.get("user_api_key_hash") or metadata.get("user_api_key") or ""
        name = str(kwargs.get("model") or "")
        host = urlsplit(str(kwargs.get("api_base") or "")).hostname
        if not account or not name or self._known(account, name, host):
            return
        query = {"account": str(account), "org": _org(metadata), "models": [name], "count": False}
        decision = await self._decide(query | {"hosts": [host] if host else []})
        if not decision["allow"]:
            raise self._refusal(decision)
        self._remember(self._allowed, (account, name), time.monotonic() + LIST_S)
        if host:
            self._remember(self._allowed, (account, "//" + host), time.monotonic() + LIST_S)

    async def async_filter_listed_models(
        self, user_api_key_dict: Any, model_names: Sequence[str]
    ) -> Sequence[str]:
        """Hide models that must not be used."""
        self._begin()
        new = [name for name in model_names if name not in self._judged()]
        if new:
            for name in new:
                self._remember(self._seen, name, None)
            try:
                await self._renew_list()
            except _Unreachable:
                log.warning("stillwatch: cannot be asked about %d names", len(new))
        bans = self._list or {}
        if not bans.get("hide", True):
            return model_names
        banned, (account, org) = bans.get("models", {}), _pair(user_api_key_dict)
        allowed = []
        for name in model_names:
            targets = [name, *self._may_answer(name)[0]]
            if any(target in banned for target in targets) and not await self._excepted(
                account, org, targets
            ):
                continue
            allowed.append(name)
        return allowed

    async def _excepted(self, account: str, org: str | None, names: list[str]) -> bool:
        """Return whether this account may use what others may not."""
        query = {"account": account, "org": org, "models": names, "count": False}
        return bool((await self._decide(query))["allow"])

    # --- decisions -------------------------------------------------------------------------------------

    async def _decide(self, query: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._post(DECIDE, query, self.timeout_s)
            return answer if isinstance(answer.get("allow"), bool) else self._alone(query)
        except _Unreachable as why:
            self.undecided += 1
            if self.undecided in (1, 10, 100) or self.undecided % 1000 == 0:
                log.warning("stillwatch: cannot be asked (%s), %d times so far", why, self.undecided)
            return self._alone(query)

    def _alone(self, query: dict[str, Any]) -> dict[str, Any]:
        """Decide without Stillwatch: by the last bans and blocks; unknown cases are refused under a ban."""
        known, names = self._list, [name for name in query.get("models", []) if name]
        if known is None:
            return _no(503, "Stillwatch cannot be asked and has never told what is banned here.")
        if query["account"] in known["blocked"]:
            return _no(403, known.get("message") or "This account is blocked.", "account_blocked")
        for kind, all_names in (("models", names), ("hosts", query.get("hosts", []))):
            for name in all_names:
                if name in known[kind]:
                    return _no(403, known[kind][name], "model_banned")
        if known["in_force"] and (not names or any(name not in self._judged() for name in names)):
            return _no(503, "Stillwatch cannot be asked whether this model may be used. Try again soon.")
        if not self.fail_open:
            return _no(503, "Stillwatch cannot be asked. Try again soon.")
        return {"allow": True, "rule": "hook.alone"}

    def _judged(self) -> set[str]:
        return self._list["judged"] if self._list is not None else set()

    def _known(self, account: str, name: str, host: str | None) -> bool:
        now = time.monotonic()
        keys = [(account, name), *([(account, "//" + host)] if host and self._hosts_matter() else [])]
        return all(self._allowed.get(key, 0.0) > now for key in keys)

    def _hosts_matter(self) -> bool:
        return bool(self._list is None or self._list.get("in_force"))

    def _may_answer(self, name: str) -> tuple[list[str], list[str]]:
        """Return the upstream names and hosts behind a public name, from LiteLLM's router."""
        if name not in self._targets:
            names: dict[str, None] = {}
            hosts: dict[str, None] = {}
            for params in _deployments(name):
                names[str(params.get("model"))] = None
                host = urlsplit(str(params.get("api_base") or "")).hostname
                if host:
                    hosts[host] = None
            names.pop(name, None)
            if len(self._targets) > REMEMBERED:
                self._targets.clear()
            self._targets[name] = (list(names)[:500], list(hosts)[:500])
        self._remember(self._seen, name, None)
        return self._targets[name]

    async def _renew_list(self) -> None:
        """Fetch which of the names available at this proxy are banned."""
        names: dict[str, None] = dict.fromkeys(self._seen)
        hosts: dict[str, None] = {}
        for params in _deployments(None):
            names[str(params.get("model"))] = None
            names[str(params.get("public"))] = None
            host = urlsplit(str(params.get("api_base") or "")).hostname
            if host:
                hosts[host] = None
        names.pop("", None)
        query = {"models": list(names)[:10_000], "hosts": list(hosts)[:10_000]}
        bans = await self._post("/bans", query, max(self.timeout_s, 5.0))
        if not isinstance(bans.get("models"), dict):
            raise _Unreachable("no list in its answer")
        self._list = {**bans, "blocked": set(bans["blocked"]), "judged": set(query["models"])}
        self._targets.clear()
        self._state.write(list=self._list, gaps=self._gaps)

    @staticmethod
    def _refusal(decision: dict[str, Any]) -> HTTPException:
        wait = decision.get("retry_after_s")
        headers = {"retry-after": str(wait)} if wait else None
        message = decision.get("message") or "Refused."
        code = decision.get("code") or "refused"
        status = int(decision.get("status") or 403)
        return HTTPException(status, {"error": message, "code": code, "rule": decision.get("rule")}, headers)

    # --- the reply -------------------------------------------------------------------------------------

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: Any, response: Any
    ) -> None:
        """Check the model that answered, if the reply names another than requested."""
        refused = await self._served(data, user_api_key_dict, getattr(response, "model", None))
        if refused is not None:
            raise self._refusal(refused)

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Pass streams on; record how they ended, also if the client left."""
        outcome, looked = "client_left", False
        try:
            async for chunk in response:
                model = getattr(chunk, "model", None)
                if not looked and model:
                    looked = True
                    refused = await self._served(request_data, user_api_key_dict, model)
                    if refused is not None:
                        outcome = "cut"
                        raise self._refusal(refused)
                yield chunk
            outcome = "complete"
        except (GeneratorExit, asyncio.CancelledError):
            raise
        except Exception:
            outcome = outcome if outcome == "cut" else "upstream_error"
            raise
        finally:
            entry = self._open.get(str(request_data.get("litellm_call_id")))
            if entry is not None:
                entry["outcome"] = outcome

    async def _served(self, data: dict[str, Any], user: Any, model: object) -> dict[str, Any] | None:
        """Return a refusal, if the model that answered may not."""
        wanted = str(data.get("model") or "")
        if not isinstance(model, str) or not model or model == wanted:
            return None
        account, org = _pair(user)
        key = (account, f"{wanted} -> {model}")
        if self._allowed.get(key, 0.0) > time.monotonic():
            return None
        try:
            question = {"account": account, "org": org, "models": [wanted], "served": model}
            decision = await self._post("/decide", question, self.timeout_s)
        except _Unreachable:
            reason = (self._list or {}).get("models", {}).get(model)
            return _no(403, reason, "model_banned") if reason else None
        if decision.get("allow"):
            self._remember(self._allowed, key, time.monotonic() + LIST_S)
            return None
        return decision

    # --- reports --------------------------------------------------------------------------------------

    def exempt_from_message_redaction(self) -> bool:
        """Return True: clients can request redaction, but only keyed sketches of the text are kept."""
        return True

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._log(kwargs)

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._log(kwargs)

    def _log(self, kwargs: dict[str, Any]) -> None:
        payload = kwargs.get("standard_logging_object")
        if not isinstance(payload, dict):
            return
        record = {name: payload[name] for name in FIELDS if payload.get(name) is not None}
        record["messages"] = _texts(payload.get("messages"))
        metadata = payload.get("metadata") or {}
        record["metadata"] = {k: v for k, v in metadata.items() if k.startswith("user_api_key_") and v}
        record["metadata"].pop("user_api_key_auth_metadata", None)
        beside: dict[str, Any] = {"id": f"llm-{uuid.uuid4().hex}"}
        entry = self._open.get(str(payload.get("litellm_call_id") or kwargs.get("litellm_call_id")))
        if entry is not None:
            if entry["outcome"] == "refused":
                return  # reported already
            entry["logged"] += 1
            if entry["logged"] == 1:
                beside |= {"id": entry["id"], "answer": entry["answer"]}
            beside |= {"account": entry["account"], "rule": entry["rule"], "asked": entry["asked"]}
            if payload.get("status") != "failure" and entry["outcome"]:
                beside["outcome"] = entry["outcome"]
        record["stillwatch"] = beside
        self._put(record)

    def _tell_of(self, entry: dict[str, Any]) -> None:
        """Report a call without a LiteLLM log: refused by us, or its event never came."""
        if entry["logged"] or (entry["outcome"] == "refused" and "status" not in entry):
            return
        request = entry["asked"]
        record = {
            "startTime": entry["at"],
            "call_type": entry["type"],
            "model": entry["model"],
            "end_user": entry["end_user"],
            "messages": request.get("messages") or request.get("input") or request.get("prompt"),
            "metadata": {"user_api_key_hash": entry["account"]},
            "stillwatch": {
                "id": entry["id"],
                "account": entry["account"],
                "rule": entry["rule"],
                "outcome": entry["outcome"] or "unknown",
                "answer": entry["answer"],
                "asked": request,
            },
        }
        if "status" in entry:
            record["error_information"] = {"error_code": str(entry["status"])}
        self._put(record)

    def _put(self, record: dict[str, Any]) -> None:
        raw = json.dumps(record, default=str, allow_nan=True).encode("utf-8", "replace")
        if self._queued_bytes + len(raw) > self.queue_bytes:
            self._drop(1)
            return
        if not self._queue:
            self._waiting_since = _now_us()
        self._queue.append(raw)
        self._queued_bytes += len(raw)
        if self._wake is not None:
            self._wake.set()

    def _drop(self, records: int) -> None:
        self.dropped += records
        self._dropping_since = self._dropping_since or _now_us()

    # --- in the background -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Start the background tasks. Raises: RuntimeError if no loop runs."""
        if self._tasks and not any(task.done() for task in self._tasks):
            return
        loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._session = None
        self._tasks = [loop.create_task(self._send()), loop.create_task(self._look())]

    async def _look(self) -> None:
        while True:
            try:
                await self._renew_list()
            except _Unreachable as why:
                log.warning("stillwatch: no list of bans: %s", why)
            now = time.time()
            for call, entry in list(self._open.items()):
                if now - entry["at"] < UNTOLD_S:
                    break
                del self._open[call]
                self._tell_of(entry)
            await asyncio.sleep(LIST_S)

    async def _send(self) -> None:
        wait_s = 0.5
        assert self._wake is not None
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), ENDING_S if self._ending else SEND_S)
                await asyncio.sleep(ENDING_S if self._ending else SEND_S)  # more records may follow
            except asyncio.TimeoutError:  # noqa: UP041 - LiteLLM runs on Python 3.10, too
                pass
            self._wake.clear()
            try:
                while self._queue:
                    await self._send_batch()
                    wait_s = 0.5
                await self._send_gaps()
            except _Unreachable as why:
                log.warning("stillwatch: %d records wait: %s", len(self._queue), why)
                await self._pause(wait_s)
                wait_s = min(wait_s * 2, 15.0)
                self._wake.set()
            if self._ending:
                self._note_end()

    async def _pause(self, wait_s: float) -> None:
        """Wait before a retry, unless the process is about to end."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until and not self._ending:
            await asyncio.sleep(ENDING_S)

    async def _send_batch(self, most: int = BATCH_RECORDS) -> None:
        batch = self._batch(most)
        try:
            await self._post("/litellm/logs", b"\n".join(batch), 30.0)
        except _TooLarge:
            if len(batch) > 1:
                await self._send_batch(len(batch) // 2)
                return
            self._drop(1)
        for raw in batch:
            self._queue.popleft()
            self._queued_bytes -= len(raw)
            self.told += 1

    def _batch(self, most: int) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        for raw in self._queue:
            if batch and (len(batch) >= most or size + len(raw) > BATCH_BYTES):
                break
            batch.append(raw)
            size += len(raw)
        return batch

    async def _send_gaps(self) -> None:
        if self._dropping_since:
            self._gaps.append(_gap(self._dropping_since, self.dropped, "LiteLLM: more waited than may"))
            self._dropping_since = self.dropped = 0
        while self._gaps:
            await self._post("/gaps", self._gaps[0], 5.0)
            self._gaps.pop(0)

    async def _post(self, path: str, what: Any, timeout_s: float) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        headers = {"x-stillwatch-hook": self.token, "content-type": "application/json"}
        try:
            async with self._session.post(
                self.url + path,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as reply:
                if reply.status == 413:
                    raise _TooLarge
                if reply.status != 200:
                    raise _Unreachable(f"{path} answered {reply.status}")
                answer = await reply.json(content_type=None)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as why:  # noqa: UP041
            raise _Unreachable(f"{path}: {type(why).__name__}") from None
        return answer if isinstance(answer, dict) else {}

    def _mind_signals(self) -> None:
        """Notice an announced end: uvicorn ends by the signal itself, and nothing runs after it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if not callable(before) or threading.current_thread() is not threading.main_thread():
                continue

            def ends(number: int, frame: Any, before: Any = before) -> None:
                self._ending = True
                self._note_end()
                before(number, frame)

            signal.signal(number, ends)

    def _note_end(self) -> None:
        """Record what would be lost if the process ended now, for the next one."""
        untold = sum(not entry["logged"] and entry["outcome"] != "refused" for entry in self._open.values())
        lost = len(self._queue) + self.dropped + untold
        gaps = list(self._gaps)
        if lost:
            since = self._dropping_since or self._waiting_since or _now_us()
            gaps.append(_gap(since, lost, "LiteLLM ended before Stillwatch could be told"))
        self._state.write(list=self._list, gaps=gaps, clean=True)

    def _goodbye(self) -> None:
        """Send waiting records at an orderly end; the next process reports the rest as a gap."""
        for entry in self._open.values():
            self._tell_of(entry)
        self._open.clear()
        until = time.monotonic() + 3.0
        try:
            while self._queue and time.monotonic() < until:
                batch = self._batch(BATCH_RECORDS)
                request = urllib.request.Request(
                    self.url + "/litellm/logs",
                    b"\n".join(batch),
                    {"x-stillwatch-hook": self.token, "content-type": "application/json"},
                )
                urllib.request.urlopen(request, timeout=3.0).close()  # the scheme was checked
                for _ in batch:
                    self._queue.popleft()
        except (OSError, ValueError) as why:
            log.warning("stillwatch: %d records could not be sent at the end: %s", len(self._queue), why)
        self._note_end()

    @staticmethod
    def _remember(where: OrderedDict[Any, Any], key: Any, value: Any) -> None:
        where[key] = value
        where.move_to_end(key)
        if where and len(where) > 2 * REMEMBERED:
            where.popitem(last=False)


class _TooLarge(_Unreachable):
    pass


class _State:
    """A small file: the last list of bans, and whether the last process ended in order."""

    def __init__(self, path: str) -> None:
        self._file, self._path = -1, path
        for k in range(64):  # one file for each of LiteLLM's processes
            try:
                file = os.open(f"{path}-{k}.json", os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as why:
                log.warning("stillwatch: keeps no list of bans over a restart: %s", why)
                return
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                continue
            self._file, self._path = file, f"{path}-{k}.json"
            return

    def read(self) -> dict[str, Any]:
        try:
            notes = json.loads(os.pread(self._file, 64 << 20, 0)) if self._file >= 0 else {}
        except (OSError, ValueError):
            return {}
        if not isinstance(notes, dict):
            return {}
        if isinstance(notes.get("list"), dict):
            for name in ("blocked", "judged"):
                notes["list"][name] = set(notes["list"].get(name, ()))
        return notes

    def begin(self) -> list[dict[str, Any]]:
        """Return the gaps that the last process left, and one more if it did not end in order."""
        notes = self.read()
        gaps = list(notes.get("gaps", []))
        if notes and not notes.get("clean"):
            why = "LiteLLM's process was killed; what waited in it is lost, and how much nobody knows"
            gaps.append(_gap(int(notes.get("at") or _now_us()), 0, why))
        self.write(list=notes.get("list"), gaps=gaps)
        return gaps

    def write(self, **what: Any) -> None:
        if self._file < 0:
            return
        raw = json.dumps({"at": _now_us(), **what}, default=lambda value: sorted(value)).encode()
        try:
            os.pwrite(self._file, raw, 0)
            os.ftruncate(self._file, len(raw))
        except OSError as why:
            log.warning("stillwatch: %s cannot be written: %s", self._path, why)


def _now_us() -> int:
    return time.time_ns() // 1000


def _gap(from_us: int, exchanges: int, reason: str) -> dict[str, Any]:
    return {"from_us": from_us, "until_us": _now_us(), "exchanges": exchanges, "reason": reason}


def _no(status: int, message: str, code: str = "undecided") -> dict[str, Any]:
    return {"allow": False, "status": status, "code": code, "message": message, "rule": "hook.alone"}


def _who(user: Any) -> dict[str, Any]:
    account, org = _pair(user)
    return {"account": account, "org": org, "end_user": getattr(user, "end_user_id", None)}


def _pair(user: Any) -> tuple[str, str | None]:
    """Return account and organisation, as in LiteLLM's log records."""
    for name in ("api_key", "key_alias", "user_id", "team_id", "org_id"):
        account = getattr(user, name, None)
        if account:
            return str(account), getattr(user, "org_id", None) or getattr(user, "team_id", None)
    return "unknown", None


def _org(metadata: dict[str, Any]) -> str | None:
    return metadata.get("user_api_key_org_id") or metadata.get("user_api_key_team_id")


def _texts(value: Any) -> Any:
    """Return messages without images and unreadable files: only text is sent."""
    if isinstance(value, list):
        return [_texts(part) for part in value if not _is_media(part)]
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return value | {"content": _texts(value["content"])}
    return value


def _is_media(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or not any(word in kind for word in ("image", "audio", "file", "video")):
        return False
    return not any(mark in str(part)[:2000] for mark in ("data:text/", *DOCUMENTS))  # a file of text is text


def _beside(data: dict[str, Any]) -> list[str]:
    """Return the model in a client's `extra_body`, which LiteLLM passes on over the judged one."""
    extra = data.get("extra_body")
    model = extra.get("model") if isinstance(extra, dict) else None
    return [model] if isinstance(model, str) and model else []


def _deployments(name: str | None) -> Iterable[dict[str, Any]]:
    """Yield parameters of the router's deployments: of one public name, or of all."""
    from litellm.proxy.proxy_server import llm_router  # type: ignore[import-not-found,unused-ignore]

    if llm_router is None:
        return []
    models = llm_router.get_model_list(model_name=name) if name else llm_router.get_model_list()
    return [
        {**(entry.get("litellm_params") or {}), "public": entry.get("model_name")} for entry in models or []
    ]


stillwatch = Stillwatch_PROXY_Hook()
