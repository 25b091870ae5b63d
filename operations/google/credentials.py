"""Credentials for Google Cloud: a token, a key file or its content, or what the environment has by default.

A key file names its type, and each type has a reader of its own. Types whose use makes this machine run a program or
ask an address of the file's choosing are read as well: the person who names the file here is the one who runs this.
https://cloud.google.com/docs/authentication/external/externally-sourced-credentials
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from operations.model.invalid import InputError, quoted

if TYPE_CHECKING:
    import google.auth.credentials

CLOUD_PLATFORM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SCOPES = [CLOUD_PLATFORM_SCOPE]
_AWS_TOKEN = "urn:ietf:params:aws:token-type:aws4_request"  # noqa: S105 - the name of a kind of token

Info = Mapping[str, Any]


class CredentialsError(InputError):
    """Credentials that were given can't be read. What is wrong with their content is left out: it is a secret."""


def find_credentials(
    access_token: str | None, key: str | None, impersonate: str | None
) -> "google.auth.credentials.Credentials":
    """Find the credentials to call Google Cloud with.

    Args:
        access_token: OAuth token, or the path of a file that contains one; counts first.
        key: path or content of a key file; counts before application-default credentials.
        impersonate: e-mail of a service account to act as.

    Raises:
        CredentialsError: the key or the token's file can't be read.
        google.auth.exceptions.DefaultCredentialsError: there are no application-default credentials.
    """
    import google.auth
    import google.auth.impersonated_credentials
    import google.oauth2.credentials

    found: Any
    if access_token:
        found = google.oauth2.credentials.Credentials(read_token(access_token))  # type: ignore[no-untyped-call]
    elif key:
        found = _from_info(read_key(key))
    else:
        found, _ = google.auth.default(scopes=_SCOPES)
    if impersonate:
        found = google.auth.impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
            source_credentials=found, target_principal=impersonate, target_scopes=_SCOPES
        )
    return cast("google.auth.credentials.Credentials", found)


def read_token(token: str) -> str:
    """Read an access token as Google's provider does: the content of a file where the text is a path, else the text.

    Args:
        token: the token, or the path of a file that contains it.

    Raises:
        CredentialsError: the text is the name of a folder, or of a file that can't be read.
    """
    try:
        path = Path(token).expanduser()
        if not path.exists():
            return token
    except (OSError, RuntimeError, ValueError):
        # Longer than a path may be, or not possible as one.
        return token
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise CredentialsError(
            "the access token is also the name of a folder, or of a file that can't be read; set a token, "
            "or the path of a file that contains one"
        ) from None


def read_key(key: str) -> Info:
    """Read a key file.

    Args:
        key: its path, or its content.

    Raises:
        CredentialsError: there is no such file, or it is no key file.
    """
    text = key.strip()
    where = "GOOGLE_CREDENTIALS"
    if not text.startswith("{"):
        where = f"key file {quoted(text)}"
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise CredentialsError(f"{where} can't be read; give a key file's path or its content") from None
    try:
        info = json.loads(text)
    except ValueError:
        raise CredentialsError(f"{where} is no JSON; give a key file's path or its content") from None
    kind = info.get("type") if isinstance(info, dict) else None
    if kind not in _READERS:
        raise CredentialsError(f"{where} has no type that is known; known are {', '.join(_READERS)}")
    return cast("Info", info)


def _from_info(info: Info) -> Any:
    import google.auth.exceptions

    try:
        return _READERS[info["type"]](info)
    except (ValueError, TypeError, KeyError, AttributeError, google.auth.exceptions.GoogleAuthError):
        raise CredentialsError(f"the key file of type {info['type']} isn't complete; download it again") from None


def _service_account(info: Info) -> Any:
    from google.oauth2 import service_account

    return service_account.Credentials.from_service_account_info(info, scopes=_SCOPES)  # type: ignore[no-untyped-call]


def _authorized_user(info: Info) -> Any:
    from google.oauth2 import credentials

    # A person's token has the scopes that were agreed to when they logged in.
    return credentials.Credentials.from_authorized_user_info(info, scopes=_SCOPES)  # type: ignore[no-untyped-call]


def _external_account(info: Info) -> Any:
    from google.auth import aws, identity_pool, pluggable

    reader: Any = identity_pool
    if info.get("subject_token_type") == _AWS_TOKEN:
        reader = aws
    elif (info.get("credential_source") or {}).get("executable"):
        reader = pluggable
    return reader.Credentials.from_info(info, scopes=_SCOPES)


def _external_account_authorized_user(info: Info) -> Any:
    from google.auth import external_account_authorized_user

    return external_account_authorized_user.Credentials.from_info(info)  # type: ignore[no-untyped-call]


def _impersonated_service_account(info: Info) -> Any:
    from google.auth import impersonated_credentials

    return impersonated_credentials.Credentials.from_impersonated_service_account_info(info, scopes=_SCOPES)  # type: ignore[no-untyped-call]


_READERS: Mapping[str, Callable[[Info], Any]] = {
    "service_account": _service_account,
    "authorized_user": _authorized_user,
    "external_account": _external_account,
    "external_account_authorized_user": _external_account_authorized_user,
    "impersonated_service_account": _impersonated_service_account,
}
