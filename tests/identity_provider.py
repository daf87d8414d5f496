"""A real identity provider on loopback: Django OAuth Toolkit, in its own process.

It requires PKCE, compares redirect addresses exactly, accepts a code once, signs with RS256 and names itself
in its answers (RFC 9207). Its log-in page is Django's.
"""

import json
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSWORD = "wrong donkey staple"
CLIENT, CLIENT_SECRET = "stillwatch-console", "a secret of the client"
PEOPLE = {  # the provider's names -> groups
    "olga": ["abuse-desk"],
    "otto": ["abuse-desk", "abuse-leads"],
    "omar": ["marketing"],
    "paul": ["abuse-leads"],  # the name of an existing console user
}
LOGIN = """<!DOCTYPE html><html lang="en"><title>Log in</title><form method="post">{% csrf_token %}{{ form }}
<input type="hidden" name="next" value="{{ next }}"><button>Enter</button></form></html>"""


@dataclass(frozen=True)
class RealProvider:
    """A provider that answers."""

    issuer: str
    folder: Path

    def set_groups(self, name: str, groups: list[str]) -> None:
        (self.folder / "groups.json").write_text(json.dumps(PEOPLE | {name: groups}))

    def settings(self, console: Path, **more: Any) -> None:
        """Write a console's `oidc.toml`."""
        lines = {"issuer": self.issuer, "client_id": CLIENT, "label": "Example ID", **more}
        (console / "oidc.secret").write_text(CLIENT_SECRET + "\n")
        text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in lines.items())
        roles = '[roles]\nanalyst = ["abuse-desk"]\napprover = ["abuse-leads"]\n'
        (console / "oidc.toml").write_text(f'client_secret_file = "oidc.secret"\n{text}\n{roles}')


@contextmanager
def real_provider(folder: Path, port: int, *redirects: str) -> Iterator[RealProvider]:
    """Run a provider that redirects browsers to these addresses only."""
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, __file__, str(port), str(folder), *redirects], stdout=subprocess.PIPE, stderr=log
        )
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n", (folder / "log").read_text()
        issuer = f"http://localhost:{port}/o"  # not 127.0.0.1 as consoles: another site for browsers
        urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=10).close()
        yield RealProvider(issuer, folder)
    finally:
        running.terminate()
        running.wait(60)
        assert running.stdout is not None
        running.stdout.close()


def serve(port: int, folder: Path, redirects: list[str]) -> None:
    """Run as the provider, until killed."""
    import django
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from django.conf import settings

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    loaders = [("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN}),
               "django.template.loaders.app_directories.Loader"]  # fmt: skip
    settings.configure(
        DEBUG=True,
        SECRET_KEY=secrets.token_urlsafe(40),
        ALLOWED_HOSTS=["localhost"],
        ROOT_URLCONF=__name__,
        SESSION_COOKIE_NAME="provider-session",
        CSRF_COOKIE_NAME="provider-csrf",
        USE_TZ=True,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "provider.db")}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                        "oauth2_provider"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                    "django.middleware.csrf.CsrfViewMiddleware",
                    "django.contrib.auth.middleware.AuthenticationMiddleware"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates",
                    "OPTIONS": {"loaders": loaders}}],
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True, "OIDC_RSA_PRIVATE_KEY": pem.decode(), "PKCE_REQUIRED": True,
            "SCOPES": {"openid": "who you are", "profile": "what you are called"},
            "OAUTH2_VALIDATOR_CLASS": f"{__name__}.validator",
            "OIDC_RP_INITIATED_LOGOUT_ENABLED": True, "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        },
    )  # fmt: skip
    django.setup()
    from wsgiref.simple_server import WSGIServer, make_server

    from django.contrib.auth.models import User
    from django.contrib.auth.views import LoginView
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.urls import include, path
    from oauth2_provider.models import Application
    from oauth2_provider.oauth2_validators import OAuth2Validator

    class Validator(OAuth2Validator):
        oidc_claim_scope = None

        def get_additional_claims(self, request: Any) -> dict[str, Any]:
            known = folder / "groups.json"
            groups = json.loads(known.read_text()) if known.exists() else PEOPLE
            return {"preferred_username": request.user.username, "groups": groups[request.user.username]}

    global urlpatterns, validator
    validator = Validator
    urlpatterns = [
        path("accounts/login/", LoginView.as_view()),
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    ]
    call_command("migrate", verbosity=0)
    owner = None
    for name in PEOPLE:
        owner = User.objects.create_user(name, password=PASSWORD)
    Application.objects.create(
        client_id=CLIENT, client_secret=CLIENT_SECRET, user=owner, client_type="confidential",
        authorization_grant_type="authorization-code", redirect_uris=" ".join(redirects),
        algorithm="RS256", name="Stillwatch", skip_authorization=False,
    )  # fmt: skip
    from socketserver import ThreadingMixIn

    class Threaded(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    with make_server("127.0.0.1", port, get_wsgi_application(), server_class=Threaded) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
