"""Log-in at an identity provider: OpenID Connect, authorization code with PKCE.

A token is believed only after all checks: its signature by a key that the provider publishes, its issuer,
audience, times and nonce. Each attempt's secrets are derived from one cookie, so abandoned attempts leave
nothing behind.

Source: OpenID Connect Core 1.0, section 3.1, and Discovery 1.0; RFC 7636 (PKCE), RFC 9207 (`iss`), RFC 9700;
signatures are checked by PyJWT (extra `oidc`).
"""

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import quote_plus, urlencode

from stillwatch.cases import Json
from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.places import ReceiverAddress, addresses, place
from stillwatch.cases.exports.post import fetch, tls_context
from stillwatch.cases.persons import LONGEST_ADDRESS
from stillwatch.console import ConsoleError, Unavailable, UserRole
from stillwatch.errors import InputError
from stillwatch.toml.declared import build
from stillwatch.toml.document import parse, read_text

FILE = "oidc.toml"  # in the folder of the cases
EXTRA = "to log in at an identity provider takes one more package: pip install 'stillwatch[oidc]'"
# with a private key: under HS256 anyone who knows the client's secret could sign, or pass off a public key
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LARGEST = 1 << 18  # bytes of a response
LEEWAY_S = 60.0  # between the provider's clock and ours
TRY_S = 600  # how long an attempt to log in may take
REST_S = 5.0  # after a failed request to it
KEPT_S, AGAIN_S = 3600.0, 60.0  # published data is refreshed after an hour, for a new key sooner
TIMEOUT_S = 10.0
AT_ONCE = 8  # requests to the provider: a slow one must not occupy all threads
LONGEST_SUBJECT = 255  # OpenID Connect Core, 2
LONGEST_CODE = 4_096
LONGEST_TARGET = 1_000


class LoginRefused(ConsoleError):
    """A log-in is refused. `code` is recorded: a fixed word, never text from outside."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class ProviderSettings:
    """`oidc.toml`: the provider at which people log in, and the roles that its claims give.

    Raises: ConsoleError for a value that cannot work.
    """

    issuer: str
    client_id: str
    roles: dict[str, tuple[str, ...]]  # role -> values of `roles_claim`, any of which gives it
    label: str = "single sign-on"  # text of the button
    client_secret_file: str | None = None  # beside this file; None: a public client
    roles_claim: str = "groups"  # may be nested, as `realm_access.roles`
    name_claim: str = "preferred_username"  # the name for a new user
    scopes: tuple[str, ...] = ("openid", "profile")
    acr: tuple[str, ...] = ()  # required authentication methods, any of them
    ca_file: str | None = None  # beside this file: certificates to trust instead of the system's
    redirect_uri: str | None = None  # None: as the browser calls the console

    def __post_init__(self) -> None:
        for name in ("issuer", "redirect_uri"):
            if (url := getattr(self, name)) is not None:
                try:
                    where = _place(url)
                except ExportError as why:
                    raise ConsoleError(f"{name}: {why}") from None
                if "?" in where.path:
                    raise ConsoleError(f"{name} has a query; give https://HOST/PATH")
        if not self.client_id or not self.client_id.isprintable():
            raise ConsoleError("client_id is empty or holds characters that cannot be seen")
        role_names = [role.name.lower() for role in UserRole]
        for role in self.roles:
            if role not in role_names:
                raise ConsoleError(f"roles: there is no role {role!a}; give {', '.join(role_names)}")
        if not any(self.roles.values()):
            raise ConsoleError('roles: nobody could log in; give for instance analyst = ["abuse-desk"]')
        if "openid" not in self.scopes or not all(
            s.isascii() and s.isprintable() and " " not in s for s in self.scopes
        ):
            raise ConsoleError('scopes: give words without blanks, "openid" among them')


@dataclass(frozen=True)
class ProvenIdentity:
    """A verified identity. `subject` identifies the person, `name` is only a label."""

    issuer: str
    subject: str
    name: str  # empty if the provider gives no usable one
    role: UserRole | None  # None: its claims give none here
    address: str = ""  # of mail, verified or not: only helps recognise users who are one person


@dataclass(frozen=True)
class LoginAttempt:
    """One attempt to log in. State, nonce and verifier derive from the cookie, which no page or log shows."""

    cookie: str
    begun_s: int
    target: str  # the page to go to afterwards

    @classmethod
    def begin(cls, target: str, now_us: int) -> "LoginAttempt":
        """Begin an attempt that nobody can predict."""
        begun_s = now_us // 1_000_000
        coded = _base64(target.encode("utf-8", "backslashreplace")) if len(target) <= LONGEST_TARGET else ""
        return cls(
            f"{begun_s}.{secrets.token_urlsafe(32)}.{coded}",
            begun_s,
            target if coded else "",
        )

    @classmethod
    def of_cookie(cls, cookie: str, now_us: int) -> "LoginAttempt | None":
        """Return the attempt of a cookie; None if the cookie is invalid or too old."""
        begun_text, _, rest = cookie.partition(".")
        number, _, encoded_target = rest.partition(".")
        if not (begun_text.isascii() and begun_text.isdigit() and len(begun_text) < 12 and len(number) == 43):
            return None
        if not -LEEWAY_S <= now_us // 1_000_000 - int(begun_text) <= TRY_S:
            return None
        try:
            target = base64.urlsafe_b64decode(encoded_target + "=" * (-len(encoded_target) % 4)).decode()
        except ValueError:
            return None
        return cls(cookie, int(begun_text), target)

    @property
    def state(self) -> str:
        return self._secret("state")

    @property
    def nonce(self) -> str:
        return self._secret("nonce")

    @property
    def verifier(self) -> str:
        return self._secret("verifier")

    @property
    def digest(self) -> str:
        """Return the digest under which a used attempt is remembered."""
        return self._secret("used")

    def _secret(self, purpose: str) -> str:
        key = self.cookie.encode("utf-8", "surrogatepass")
        return hmac.digest(key, f"stillwatch console log-in {purpose}".encode(), "sha256").hex()


@dataclass(frozen=True)
class _ProviderMetadata:
    """The provider's published configuration and keys."""

    metadata: Json
    keys: tuple[Json, ...]
    at_s: float  # monotonic


def load_provider(folder: Path) -> "IdentityProvider | None":
    """Read `oidc.toml` of a folder; None if there is none. The provider is not contacted yet.

    Raises: InputError with the line of every mistake; ConsoleError if the extra is not installed.
    """
    path = folder / FILE
    if not path.exists():
        return None
    table = parse(read_text(path, LARGEST, "the settings of a provider are a few lines"), str(path))
    settings = build(ProviderSettings, table)
    if settings is None:
        raise InputError("\n".join(table.notes.sentences()))
    _library()
    secret = None
    if settings.client_secret_file is not None:
        secret = read_text(folder / settings.client_secret_file, 4_096, "a client's secret is a line").strip()
        if not secret or not secret.isascii() or not secret.isprintable():
            raise InputError(
                f"{folder / settings.client_secret_file}: holds no secret: give one line of ASCII"
            )
    context = None
    if settings.ca_file is not None:
        try:
            context = tls_context(str(folder / settings.ca_file))
        except ExportError as why:
            raise InputError(str(why)) from None
    return IdentityProvider(settings, secret, context)


class IdentityProvider:
    """One provider. Thread-safe.

    secret: the client's; None for a public client. context: its trusted certificates; default: the system's.
    """

    def __init__(
        self, settings: ProviderSettings, secret: str | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        self.settings = settings
        self._client_secret, self._context = secret, context
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._published: _ProviderMetadata | None = None
        self._trouble = (-REST_S, "")  # time and reason of the last failed request

    # --- the three steps ---

    def authorization_url(self, attempt: LoginAttempt, redirect_uri: str) -> str:
        """Return the address at the provider to which the browser goes. Raises: Unavailable."""
        challenge = hashlib.sha256(attempt.verifier.encode()).digest()
        words = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": _base64(challenge),
            "code_challenge_method": "S256",
        }
        if self.settings.acr:
            words["acr_values"] = " ".join(self.settings.acr)
        where = str(self._metadata().metadata["authorization_endpoint"])
        return f"{where}{'&' if '?' in where else '?'}{urlencode(words)}"

    def check_sender(self, issuer: str | None) -> None:
        """Refuse an answer that another provider sent (RFC 9207). Raises: LoginRefused, Unavailable."""
        names_itself = self._metadata().metadata.get("authorization_response_iss_parameter_supported") is True
        if issuer != self.settings.issuer and (names_itself or issuer is not None):
            raise LoginRefused("sender", "this answer is of another identity provider; log in anew")

    def redeem(self, code: str, attempt: LoginAttempt, redirect_uri: str) -> ProvenIdentity:
        """Exchange a code for a token and return its identity. Raises: LoginRefused, Unavailable."""
        if not 0 < len(code) <= LONGEST_CODE:
            raise LoginRefused("code", "the identity provider's answer holds no code; log in anew")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        metadata = self._metadata()
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        ways = _words_of(metadata.metadata, "token_endpoint_auth_methods_supported", "client_secret_basic")
        if self._client_secret is not None and "client_secret_basic" in ways:
            pair = f"{quote_plus(self.settings.client_id)}:{quote_plus(self._client_secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = self.settings.client_id
            if self._client_secret is not None:
                form["client_secret"] = self._client_secret
        status, answer = self._ask(
            str(metadata.metadata["token_endpoint"]), "POST", headers, urlencode(form).encode()
        )
        token = answer.get("id_token")
        if status != 200 or not isinstance(token, str):
            error = answer.get("error")
            word = (
                error
                if isinstance(error, str) and error.replace("_", "").isalnum() and len(error) < 40
                else ""
            )
            raise LoginRefused(
                "code",
                f"the identity provider does not take the code: {word or f'status {status}'}; log in anew",
            )
        return self._identity(self._checked_claims(token, attempt.nonce))

    def logout_url(self) -> str | None:
        """Return the provider's log-out page; None if it publishes none, or was not contacted yet."""
        metadata = self._published
        where = None if metadata is None else metadata.metadata.get("end_session_endpoint")
        if not isinstance(where, str):
            return None
        return f"{where}{'&' if '?' in where else '?'}{urlencode({'client_id': self.settings.client_id})}"

    # --- tokens ---

    def _checked_claims(self, token: str, nonce: str) -> Json:
        """Check a token completely, and return its claims. Raises: LoginRefused, Unavailable."""
        jwt = _library()
        client_id = self.settings.client_id
        try:
            head = jwt.get_unverified_header(token)
            algorithm = str(head.get("alg"))
            if algorithm not in ALGORITHMS:
                raise LoginRefused(
                    "algorithm", f"the token is signed by {algorithm[:20]!a}, which proves nothing"
                )
            claims: Json = jwt.decode(
                token,
                self._key(head.get("kid"), algorithm),
                algorithms=[algorithm],
                audience=client_id,
                issuer=self.settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.PyJWTError as why:
            code = next((word for kind, word in _codes(jwt).items() if isinstance(why, kind)), "token")
            raise LoginRefused(code, f"the token does not hold: {str(why)[:200]}; log in anew") from None
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (several or "azp" in claims) and claims.get("azp") != client_id:
            raise LoginRefused("audience", "the token was made for another client; log in anew")
        claimed_nonce = claims.get("nonce")
        if not isinstance(claimed_nonce, str) or not hmac.compare_digest(
            claimed_nonce.encode("utf-8", "replace"), nonce.encode()
        ):
            raise LoginRefused("nonce", "the token belongs to another log-in; log in anew")
        if self.settings.acr and claims.get("acr") not in self.settings.acr:
            raise LoginRefused(
                "strength",
                f"the identity provider did not ask you for {' or '.join(self.settings.acr)}",
            )
        return claims

    def _identity(self, claims: Json) -> ProvenIdentity:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
            raise LoginRefused("token", "the token names nobody")
        name = _claim_at(claims, self.settings.name_claim)
        if self.settings.name_claim == "email" and claims.get("email_verified") is not True:
            name = None  # anybody may write any address into a profile
        claimed = _claim_at(claims, self.settings.roles_claim)
        values = (
            {claimed}
            if isinstance(claimed, str)
            else {v for v in claimed if isinstance(v, str)}
            if isinstance(claimed, list)
            else set()
        )
        role_values = [
            UserRole[role.upper()] for role, allowed in self.settings.roles.items() if values & set(allowed)
        ]
        address = claims.get("email")
        return ProvenIdentity(
            self.settings.issuer,
            subject,
            name.strip().lower() if isinstance(name, str) else "",
            max(role_values, default=None),
            address if isinstance(address, str) and len(address) <= LONGEST_ADDRESS else "",
        )

    def _key(self, kid: object, algorithm: str) -> object:
        """Return the public key that a token names; refreshes for a new one, at most once a minute."""
        jwt = _library()
        metadata = self._metadata()
        key = _fitting(metadata.keys, kid, algorithm)
        if not key and time.monotonic() - metadata.at_s > AGAIN_S:
            key = _fitting(self._metadata(anew=True).keys, kid, algorithm)
        if len(key) != 1:
            raise LoginRefused(
                "key",
                f"the token names {len(key) or 'no'} keys of the identity provider, not one; log in anew",
            )
        try:
            return jwt.PyJWK(dict(key[0]), algorithm=algorithm).key
        except (ValueError, TypeError, KeyError, AttributeError):  # not caught by PyJWT itself
            raise LoginRefused("key", "the identity provider publishes a key that cannot be used") from None

    # --- what the provider publishes ---

    def _metadata(self, anew: bool = False) -> _ProviderMetadata:
        """Return the provider's published data, at most an hour old. Raises: Unavailable."""
        published = self._published
        if published is not None and not anew and time.monotonic() - published.at_s < KEPT_S:
            return published
        at_s, trouble = self._trouble
        if time.monotonic() - at_s < REST_S:
            raise Unavailable(trouble)
        try:
            fetched = self._ask_published()
        except Unavailable as why:
            self._trouble = time.monotonic(), str(why)
            raise
        self._published = fetched
        return fetched

    def _ask_published(self) -> _ProviderMetadata:
        issuer = self.settings.issuer
        metadata = self._ask_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if metadata.get("issuer") != issuer:
            raise Unavailable(
                f"{issuer}: calls itself {str(metadata.get('issuer'))[:200]!a}; {FILE} must say exactly that"
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint"):
            url = metadata.get(name)
            if name == "end_session_endpoint" and url is None:
                continue
            try:
                _place(str(url))
            except ExportError as why:
                raise Unavailable(f"{issuer}: its {name} will not do: {why}") from None
        if "S256" not in _words_of(metadata, "code_challenge_methods_supported", "S256"):
            raise Unavailable(f"{issuer}: knows no PKCE with S256; a stolen code could be used")
        keys = self._ask_json(str(metadata["jwks_uri"])).get("keys")
        read = tuple(key for key in keys if isinstance(key, dict)) if isinstance(keys, list) else ()
        return _ProviderMetadata(metadata, read, time.monotonic())

    def _ask_json(self, url: str) -> Json:
        status, answer = self._ask(url, "GET", {"accept": "application/json"}, b"")
        if status != 200:
            raise Unavailable(f"{url}: answers with status {status}")
        return answer

    def _ask(self, url: str, method: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Json]:
        """Request a JSON object from the provider, without redirects. Raises: Unavailable."""
        if not self._slots.acquire(timeout=1.0):
            raise Unavailable("the identity provider is slow to answer others; try again in a minute")
        try:
            where = _place(url)
            context = None if where.scheme == "http" else self._context or tls_context()
            ips = addresses(where, [where.at])  # given by the owner's provider
            reply, content = fetch(where, ips, headers, body, context, LARGEST, TIMEOUT_S, method)
        except ExportError as why:
            raise Unavailable(f"the identity provider cannot be asked: {why}") from None
        finally:
            self._slots.release()
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            if reply.status == 200:
                raise Unavailable(f"{where.at}: answers with something that is no JSON object")
            answer = {}
        return reply.status, answer


def _place(url: str) -> ReceiverAddress:
    """Parse an address of the provider: TLS, except on this machine. Raises: ExportError."""
    where = place(url, ("https", "http"))
    if where.scheme == "http" and where.host not in LOOPBACK:
        raise ExportError(f"{where.host}: would be asked in the clear; give https://")
    return where


def _fitting(keys: tuple[Json, ...], kid: object, algorithm: str) -> list[Json]:
    """Return the keys that may have signed a token, by name, kind and use."""
    kind = {"R": "RSA", "P": "RSA", "ES": "EC", "Ed": "OKP"}[
        algorithm[:2] if algorithm[0] == "E" else algorithm[0]
    ]
    return [
        key
        for key in keys
        if key.get("kty") == kind
        and key.get("alg", algorithm) == algorithm
        and key.get("use", "sig") == "sig"
        and (kid is None or key.get("kid") == kid)
    ]


def _claim_at(claims: Json, path: str) -> object:
    """Return a claim by its name, or by a path of names with dots.

    >>> _claim_at({"realm_access": {"roles": ["a"]}}, "realm_access.roles")
    ['a']
    >>> _claim_at({"https://x.example/roles": ["b"]}, "https://x.example/roles")
    ['b']
    """
    if path in claims:
        return claims[path]
    value: object = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _words_of(metadata: Json, name: str, default: str) -> list[object]:
    """Return a list that the provider publishes; the default if it gives none."""
    words = metadata.get(name)
    return words if isinstance(words, list) else [default]


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _codes(jwt: ModuleType) -> dict[type[Exception], str]:
    """Return the error codes to record for rejected tokens."""
    return {
        jwt.ExpiredSignatureError: "expired",
        jwt.ImmatureSignatureError: "not yet valid",
        jwt.InvalidAudienceError: "audience",
        jwt.InvalidIssuerError: "issuer",
        jwt.InvalidSignatureError: "signature",
        jwt.InvalidAlgorithmError: "algorithm",
    }


def _library() -> ModuleType:
    try:
        import jwt
    except ImportError as why:
        raise ConsoleError(EXTRA) from why
    return jwt
