"""A ban in the formats of other programs, LiteLLM's proxy and DNS: names and hosts in, text out.

Neither enforces all that `stillwatch serve` enforces: DNS does not block a copy on another host, and LiteLLM
compares names literally.
"""

import re

from stillwatch.errors import InputError

LONGEST_NAME = 253  # RFC 1035, section 2.3.4, without the last dot
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")  # RFC 1035, section 2.3.1, and the underscore of RFC 2782
LITELLM_LIMITS = """\
Blocks these names as they are written, where a wildcard would route them. Of a name that has a deployment
of its own, put `model_info: {blocked: true}` into that deployment: one that is not blocked goes on serving.
A fallback of the name, an alias, another case or spelling is not blocked."""
REFRESH_S, RETRY_S, EXPIRE_S, TTL_S = 3600, 600, 604_800, 300


def rpz_zone(hosts: list[str], serial: int, note: str = "") -> str:
    """Write a response policy zone in which the hosts, and all names below them, do not exist.

    Source: DNS Response Policy Zones, draft-vixie-dnsop-dns-rpz-00, section 3.1 (`CNAME .` answers NXDOMAIN).

    Raises:
        InputError: a host cannot stand in a zone.
    """
    owners = sorted({_owner(host) for host in hosts})
    lines = [
        *(f"; {line}" for line in note.splitlines()),
        f"$TTL {TTL_S}",
        f"@ IN SOA localhost. hostmaster.localhost. {serial} {REFRESH_S} {RETRY_S} {EXPIRE_S} {TTL_S}",
        "@ IN NS localhost.",
        *(f"{name} IN CNAME ." for owner in owners for name in (owner, f"*.{owner}")),
    ]
    return "\n".join(lines) + "\n"


def _owner(host: str) -> str:
    """Return the name below which everything is blocked: "*.deepseek.com" and "deepseek.com" are the same."""
    name = host.strip().lower().rstrip(".").removeprefix("*.")
    try:
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError as error:
        raise InputError(f"{host!r} is no name for DNS: {error}") from error
    if len(name) > LONGEST_NAME or not name or not all(map(_LABEL.fullmatch, name.split("."))):
        raise InputError(f"{host!r} is no name for DNS; write it like api.example.com")
    if name.replace(".", "").isdigit():
        raise InputError(f"{host!r} is an address, and DNS names are blocked by name")
    return name


def litellm_config(names: list[str], note: str = "") -> str:
    """Write a `model_list` for LiteLLM's proxy in which every name is listed and blocked.

    Its router leaves out deployments with `model_info.blocked`. A name whose deployments are all blocked is
    refused, even if a wildcard route would match it. Source: LiteLLM 1.108.7, `router.py`,
    `_filter_blocked_deployments`; tried on its proxy.
    """
    lines = [f"# {line}" for line in (*note.splitlines(), *LITELLM_LIMITS.splitlines())]
    lines.append("model_list:" if names else "model_list: []")
    for name in sorted(set(names)):
        lines += [
            f"  - model_name: {_yaml(name)}",
            f"    litellm_params: {{model: {_yaml(name)}}}",
            "    model_info: {blocked: true}",
        ]
    return "\n".join(lines) + "\n"


def _yaml(text: str) -> str:
    """Return a double-quoted scalar of YAML 1.2 (section 7.3.1), everything but printable ASCII escaped."""
    plain = (c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return '"' + "".join(plain) + '"'
