"""Who the stand-in calls as: an access token, a key, or the person's own login; any of them may act as another account.

In the order and by the variables of the official plugin:
https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
KEY_VARIABLES = ("GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON")
IAM_CREDENTIALS = "https://iamcredentials.googleapis.com/v1/"


@dataclass
class Tokens:
    """Bearer tokens for one provider instance. google-auth is imported only where a token has to be asked for.

    Args:
        settings: the provider's configuration, by Pulumi's names.
        environ: the environment, where settings are looked for that the configuration does not have.
    """

    settings: Mapping[str, Any]
    environ: Mapping[str, str]
    _credentials: Any = field(default=None, init=False, repr=False)

    def get(self) -> str:
        """A token that is valid now.

        Raises:
            ValueError: what was given can't be read, there are no credentials, or Google refused them.
        """
        account = self.settings.get("impersonateServiceAccount") or self.environ.get(
            "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"
        )
        token = self._given_token()
        if token and not account:
            return token
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            if self._credentials is None:
                source = self._source(token)
                self._credentials = self._acting_as(str(account), source) if account else source
            if not self._credentials.valid:
                self._credentials.refresh(Request())
        except (GoogleAuthError, OSError) as error:
            who = f"acting as {account}" if account else "the credentials"
            message = f"{who}: {error}"
            raise ValueError(message) from error
        return str(self._credentials.token)

    def _given_token(self) -> str:
        given = self.settings.get("accessToken") or self.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN") or ""
        try:
            return path_or_contents(str(given)).strip()
        except (OSError, ValueError) as error:
            message = f"loading the access token: {error}"
            raise ValueError(message) from error

    def _source(self, token: str) -> Any:
        import google.auth
        import google.oauth2.credentials

        if token:
            return google.oauth2.credentials.Credentials(token)  # type: ignore[no-untyped-call]
        key = self.settings.get("credentials") or next(
            (self.environ[name] for name in KEY_VARIABLES if self.environ.get(name)), None
        )
        if not key:
            return google.auth.default(scopes=[SCOPE])[0]
        document = json.loads(path_or_contents(str(key)))
        return google.auth.load_credentials_from_dict(document, scopes=[SCOPE])[0]  # type: ignore[no-untyped-call]

    def _acting_as(self, account: str, source: Any) -> Any:
        from google.auth import impersonated_credentials

        # The official plugin asks Google whatever the setting says; a private address has to be reachable here too.
        address = self.settings.get("iamCredentialsCustomEndpoint") or IAM_CREDENTIALS
        return impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
            source_credentials=source,
            target_principal=account,
            target_scopes=[SCOPE],
            delegates=self.settings.get("impersonateServiceAccountDelegates") or None,
            iam_endpoint_override=f"{address}projects/-/serviceAccounts/{account}:generateAccessToken",
        )


def path_or_contents(text: str) -> str:
    """What a text says that Google's provider takes "as a path or its contents": the content of the file that it names.

    A text that is not the name of anything stands for itself.

    Raises:
        OSError: it names something that is not a file, or can't be read.
        ValueError: the file is not text.
    """
    if not text:
        return text
    try:
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
        path.stat()
    except (OSError, ValueError, RuntimeError):
        return text
    return path.read_text(encoding="utf-8")
