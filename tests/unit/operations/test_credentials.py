"""Which credentials are used, and what is said of key files that can't be read; nothing is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from operations.google.credentials import CLOUD_PLATFORM_SCOPE, CredentialsError, find_credentials, read_key, read_token

TOKEN_URI = "https://oauth2.googleapis.com/token"
USER = {"type": "authorized_user", "client_id": "c", "client_secret": "s3cret", "refresh_token": "r"}
POOL = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/ci",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
}


@pytest.fixture(scope="module")
def service_account() -> dict[str, Any]:
    """A service account's key file, as downloaded."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "client_email": "pipeline@hospital-imaging.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": TOKEN_URI,
    }


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("{s3cret", "GOOGLE_CREDENTIALS is no JSON"),
        ('{"key": "s3cret"}', "GOOGLE_CREDENTIALS has no type that is known"),
        ('{"type": "s3cret"}', "known are service_account, authorized_user"),
        ("/nowhere/key.json", 'key file "/nowhere/key.json" can\'t be read'),
        ("key\0.json", "can't be read"),
    ],
)
def test_what_is_no_key_file_is_refused_without_its_content(key: str, problem: str) -> None:
    with pytest.raises(CredentialsError, match=problem) as refused:
        read_key(key)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "kind",
    [
        "service_account",
        "authorized_user",
        "external_account",
        "external_account_authorized_user",
        "impersonated_service_account",
    ],
)
def test_an_incomplete_key_file_is_refused_without_its_content(kind: str) -> None:
    with pytest.raises(CredentialsError, match=f"of type {kind} isn't complete") as refused:
        find_credentials(None, json.dumps({"type": kind, "private_key": "s3cret"}), None)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match="can't be read"):
        read_key(str(tmp_path / "key"))


def test_a_service_accounts_key_is_read_from_its_path_and_from_its_content(
    service_account: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "key.json").write_text(json.dumps(service_account), encoding="utf-8")
    for key in (str(tmp_path / "key.json"), json.dumps(service_account)):
        found: Any = find_credentials(None, key, None)
        assert found.service_account_email == service_account["client_email"]
        assert found.scopes == [CLOUD_PLATFORM_SCOPE]


@pytest.mark.parametrize(
    ("more", "module"),
    [
        ({"credential_source": {"file": "/var/run/token"}}, "google.auth.identity_pool"),
        (
            {"credential_source": {"executable": {"command": "/bin/token", "timeout_millis": 5000}}},
            "google.auth.pluggable",
        ),
        (
            {
                "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
                "credential_source": {
                    "environment_id": "aws1",
                    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com",
                },
            },
            "google.auth.aws",
        ),
    ],
)
def test_workload_identity_has_a_kind_for_each_source_of_tokens(more: dict[str, Any], module: str) -> None:
    assert type(find_credentials(None, json.dumps(POOL | more), None)).__module__ == module


def test_a_persons_login_and_what_impersonates_by_it_are_read() -> None:
    person: Any = find_credentials(None, json.dumps(USER), None)
    assert person.refresh_token == "r"
    account = "pipeline@hospital-imaging.iam.gserviceaccount.com"
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
    key = {"type": "impersonated_service_account", "service_account_impersonation_url": url, "source_credentials": USER}
    found: Any = find_credentials(None, json.dumps(key), None)
    assert found.service_account_email == account


def test_a_token_counts_before_a_key_and_may_impersonate() -> None:
    found: Any = find_credentials("a-token", "/nowhere/key.json", None)
    assert found.token == "a-token"
    account = "pipeline@hospital-imaging.iam.gserviceaccount.com"
    acting: Any = find_credentials("a-token", None, account)
    assert acting.service_account_email == account


def test_a_token_that_is_a_path_is_the_content_of_that_file(tmp_path: Path) -> None:
    # As Google's provider reads `accessToken`, so that both act with the same token.
    (tmp_path / "token").write_text("ya29.from-a-file\n")
    (tmp_path / "folder").mkdir()
    assert read_token(str(tmp_path / "token")) == "ya29.from-a-file"
    assert read_token("ya29.itself") == "ya29.itself"
    assert read_token("y" * 2000) == "y" * 2000
    with pytest.raises(CredentialsError, match="name of a folder") as refused:
        read_token(str(tmp_path / "folder"))
    assert "folder" not in str(refused.value).replace("name of a folder", "")
