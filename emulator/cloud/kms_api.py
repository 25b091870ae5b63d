"""Cloud KMS: key rings, keys and versions as resources. Cryptographic calls are not served.

https://cloud.google.com/kms/docs/reference/rest
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..core.clock import now, rfc3339
from ..core.errors import ApiError, invalid, not_found
from ..http.masks import patched, top_fields
from ..http.paging import page
from ..http.routing import Routes
from .kms_service import Kms
from .policies import serve_policies

if TYPE_CHECKING:
    from ..core.state import Collection, Document
    from ..http.call import Call

routes = Routes("cloudkms")
_LOCATIONS = "projects.locations"
_RINGS = f"{_LOCATIONS}.keyRings"
_KEYS = f"{_RINGS}.cryptoKeys"
_VERSIONS = f"{_KEYS}.cryptoKeyVersions"

_ID = re.compile(r"[a-zA-Z0-9_-]{1,63}")
#: Default algorithm by purpose; the others need one in the versionTemplate.
_ALGORITHMS = {"ENCRYPT_DECRYPT": "GOOGLE_SYMMETRIC_ENCRYPTION"}
_CHANGEABLE = frozenset({"labels", "nextRotationTime", "rotationPeriod", "versionTemplate"})
#: https://cloud.google.com/kms/docs/destroy-restore
_DESTROY_AFTER = "2592000s"


@routes.method(f"{_RINGS}.create")
def create_ring(call: Call) -> dict[str, Any]:
    """Create a key ring."""
    parent, project = _parent(call, "locationsId")
    call.require("cloudkms.keyRings.create", project)
    name = f"{parent}/keyRings/{_new_id(call, 'keyRingId')}"
    kms = call.emulator.service(Kms)
    with kms.lock:
        _refuse_existing("KeyRing", name, kms.rings)
        kms.rings[name] = {"name": name, "createTime": rfc3339(now())}
    return kms.rings[name]


@routes.method(f"{_RINGS}.get")
def get_ring(call: Call) -> dict[str, Any]:
    """A key ring."""
    name, project = _parent(call, "keyRingsId")
    call.require("cloudkms.keyRings.get", name, project)
    return _found("KeyRing", name, call.emulator.service(Kms).rings)


@routes.method(f"{_RINGS}.list", note="filter and orderBy are refused with 501")
def list_rings(call: Call) -> dict[str, Any]:
    """The key rings of a location."""
    parent, project = _parent(call, "locationsId")
    call.require("cloudkms.keyRings.list", project)
    kept = call.emulator.service(Kms).rings
    return _listed(call, kept, kept.keys_under(f"{parent}/"), "keyRings", lambda ring: ring)


@routes.method(f"{_KEYS}.create")
def create_key(call: Call) -> dict[str, Any]:
    """Create a key, with its first version unless the call says otherwise."""
    ring, project = _parent(call, "keyRingsId")
    call.require("cloudkms.cryptoKeys.create", ring, project)
    kms = call.emulator.service(Kms)
    _found("KeyRing", ring, kms.rings)
    name = f"{ring}/cryptoKeys/{_new_id(call, 'cryptoKeyId')}"
    body = call.body
    purpose = body.get("purpose") or "CRYPTO_KEY_PURPOSE_UNSPECIFIED"
    if purpose == "CRYPTO_KEY_PURPOSE_UNSPECIFIED":
        raise invalid("The request is missing the field 'crypto_key.purpose'.")
    template = {key: value for key, value in (body.get("versionTemplate") or {}).items() if value}
    algorithm = template.get("algorithm") or _ALGORITHMS.get(purpose)
    if algorithm is None:
        raise invalid("The request is missing the field 'crypto_key.version_template.algorithm'.")
    if purpose == "ENCRYPT_DECRYPT" and algorithm not in (
        "GOOGLE_SYMMETRIC_ENCRYPTION",
        "EXTERNAL_SYMMETRIC_ENCRYPTION",
    ):
        raise invalid(f"The algorithm {algorithm} can't be used for the purpose ENCRYPT_DECRYPT.")
    with kms.lock, call.emulator.state.transaction():
        _refuse_existing("CryptoKey", name, kms.keys)
        key: Document = {
            "name": name,
            "createTime": rfc3339(now()),
            "purpose": purpose,
            "versionTemplate": {
                "protectionLevel": template.get("protectionLevel") or "SOFTWARE",
                "algorithm": algorithm,
            },
            "destroyScheduledDuration": body.get("destroyScheduledDuration") or _DESTROY_AFTER,
        }
        for field in ("labels", "nextRotationTime", "rotationPeriod", "importOnly"):
            if body.get(field):
                key[field] = body[field]
        kms.keys[name] = key
        if call.query.get("skipInitialVersionCreation") != "true":
            version = _new_version(kms, key)
            if purpose == "ENCRYPT_DECRYPT":
                kms.keys[name] = {**key, "primaryName": version["name"]}
    return _shown(kms, kms.keys[name])


@routes.method(f"{_KEYS}.get")
def get_key(call: Call) -> dict[str, Any]:
    """A key with its primary version."""
    kms, key = _key(call, "cloudkms.cryptoKeys.get")
    return _shown(kms, key)


@routes.method(f"{_KEYS}.list", note="filter and orderBy are refused with 501")
def list_keys(call: Call) -> dict[str, Any]:
    """The keys of a ring."""
    ring, project = _parent(call, "keyRingsId")
    call.require("cloudkms.cryptoKeys.list", ring, project)
    kms = call.emulator.service(Kms)
    _found("KeyRing", ring, kms.rings)
    names = kms.keys.keys_under(f"{ring}/")
    return _listed(call, kms.keys, names, "cryptoKeys", lambda key: _shown(kms, key))


@routes.method(f"{_KEYS}.patch")
def patch_key(call: Call) -> dict[str, Any]:
    """Change the fields that the mask names."""
    kms, key = _key(call, "cloudkms.cryptoKeys.update")
    changed = patched(key, call.body, _mask(call, _CHANGEABLE))
    kms.keys[key["name"]] = changed
    return _shown(kms, changed)


@routes.method(f"{_KEYS}.updatePrimaryVersion")
def update_primary_version(call: Call) -> dict[str, Any]:
    """Encrypt with another version from now on."""
    kms, key = _key(call, "cloudkms.cryptoKeys.update")
    version = f"{key['name']}/cryptoKeyVersions/{call.body.get('cryptoKeyVersionId', '')}"
    if key["purpose"] != "ENCRYPT_DECRYPT":
        raise ApiError(400, "Only a key for ENCRYPT_DECRYPT has a primary version.", name="FAILED_PRECONDITION")
    _found("CryptoKeyVersion", version, kms.versions)
    kms.keys[key["name"]] = {**key, "primaryName": version}
    return _shown(kms, kms.keys[key["name"]])


@routes.method(f"{_VERSIONS}.create")
def create_version(call: Call) -> dict[str, Any]:
    """Add a version; it does not become the primary one by itself."""
    kms, key = _key(call, "cloudkms.cryptoKeyVersions.create")
    with kms.lock:
        return _new_version(kms, key)


@routes.method(f"{_VERSIONS}.get")
def get_version(call: Call) -> dict[str, Any]:
    """A version."""
    return _version(call, "cloudkms.cryptoKeyVersions.get")[1]


@routes.method(f"{_VERSIONS}.list", note="filter and orderBy are refused with 501")
def list_versions(call: Call) -> dict[str, Any]:
    """The versions of a key."""
    kms, key = _key(call, "cloudkms.cryptoKeyVersions.list")
    names = kms.versions.keys_under(f"{key['name']}/")
    return _listed(call, kms.versions, names, "cryptoKeyVersions", lambda version: version)


@routes.method(f"{_VERSIONS}.patch")
def patch_version(call: Call) -> dict[str, Any]:
    """Enable or disable a version."""
    kms, version = _version(call, "cloudkms.cryptoKeyVersions.update")
    _mask(call, frozenset({"state"}))
    state = call.body.get("state")
    if state not in ("ENABLED", "DISABLED"):
        raise invalid("state: ENABLED or DISABLED is expected; versions are destroyed with :destroy")
    if version["state"] not in ("ENABLED", "DISABLED"):
        raise _wrong_state(version)
    return _changed(kms, version, {"state": state})


@routes.method(f"{_VERSIONS}.destroy")
def destroy_version(call: Call) -> dict[str, Any]:
    """Schedule a version for destruction; it can't be used from now on."""
    kms, version = _version(call, "cloudkms.cryptoKeyVersions.destroy")
    if version["state"] not in ("ENABLED", "DISABLED"):
        raise _wrong_state(version)
    key = kms.keys[version["name"].partition("/cryptoKeyVersions/")[0]]
    seconds = float(key["destroyScheduledDuration"].removesuffix("s"))
    moment = rfc3339(now() + timedelta(seconds=seconds))
    return _changed(kms, version, {"state": "DESTROY_SCHEDULED", "destroyTime": moment})


@routes.method(f"{_VERSIONS}.restore")
def restore_version(call: Call) -> dict[str, Any]:
    """Take a version back from its destruction; it is disabled then."""
    kms, version = _version(call, "cloudkms.cryptoKeyVersions.restore")
    if version["state"] != "DESTROY_SCHEDULED":
        raise _wrong_state(version)
    restored = {key: value for key, value in version.items() if key != "destroyTime"}
    return _changed(kms, restored, {"state": "DISABLED"})


def _parent(call: Call, last: str) -> tuple[str, str]:
    """Name of the resource in the path down to the variable ``last``, and the policy key of its project."""
    project = f"projects/{call.emulator.projects.use(call.path['projectsId'])}"
    name = project
    for variable, kind in (
        ("locationsId", "locations"),
        ("keyRingsId", "keyRings"),
        ("cryptoKeysId", "cryptoKeys"),
        ("cryptoKeyVersionsId", "cryptoKeyVersions"),
    ):
        name += f"/{kind}/{call.path[variable]}"
        if variable == last:
            break
    return name, project


def _key(call: Call, permission: str) -> tuple[Kms, Document]:
    name, project = _parent(call, "cryptoKeysId")
    call.require(permission, name, name.partition("/cryptoKeys/")[0], project)
    kms = call.emulator.service(Kms)
    return kms, _found("CryptoKey", name, kms.keys)


def _version(call: Call, permission: str) -> tuple[Kms, Document]:
    name, project = _parent(call, "cryptoKeyVersionsId")
    key = name.partition("/cryptoKeyVersions/")[0]
    call.require(permission, key, key.partition("/cryptoKeys/")[0], project)
    kms = call.emulator.service(Kms)
    return kms, _found("CryptoKeyVersion", name, kms.versions)


def _found(kind: str, name: str, kept: Collection) -> Document:
    document = kept.get(name)
    if document is None:
        raise not_found(f"{kind} {name} not found.")
    return document


def _refuse_existing(kind: str, name: str, kept: Collection) -> None:
    if name in kept:
        raise ApiError(409, f"{kind} {name} already exists.")


def _new_id(call: Call, parameter: str) -> str:
    text = call.query.get(parameter, "")
    if not _ID.fullmatch(text):
        raise invalid(f"{parameter}: 1 to 63 letters, digits, - and _ are expected, not {text!r}")
    return text


def _new_version(kms: Kms, key: Document) -> Document:
    number = len(kms.versions.keys_under(f"{key['name']}/")) + 1
    moment = rfc3339(now())
    version: Document = {
        "name": f"{key['name']}/cryptoKeyVersions/{number}",
        "state": "ENABLED",
        "protectionLevel": key["versionTemplate"]["protectionLevel"],
        "algorithm": key["versionTemplate"]["algorithm"],
        "createTime": moment,
        "generateTime": moment,
    }
    kms.versions[version["name"]] = version
    return version


def _changed(kms: Kms, version: Document, changes: dict[str, Any]) -> Document:
    changed = {**version, **changes}
    kms.versions[version["name"]] = changed
    return changed


def _wrong_state(version: Document) -> ApiError:
    return ApiError(
        400, f"{version['name']} is not in a state that allows this: {version['state']}.", name="FAILED_PRECONDITION"
    )


def _shown(kms: Kms, key: Document) -> dict[str, Any]:
    shown = {name: value for name, value in key.items() if name != "primaryName"}
    primary = kms.primary(key)
    if primary is not None:
        shown["primary"] = primary
    return shown


def _mask(call: Call, possible: frozenset[str]) -> list[str]:
    names = top_fields(call.query.get("updateMask"))
    if not names or any(name not in possible for name in names):
        raise invalid(f"updateMask: one or more of {', '.join(sorted(possible))} is expected")
    return names


def _listed(call: Call, kept: Collection, names: list[str], key: str, shown: Any) -> dict[str, Any]:
    for parameter in ("filter", "orderBy"):
        if call.query.get(parameter):
            raise ApiError(501, f"The emulator does not serve {parameter} of {call.method_id}.")
    chosen, token = page(names, call.page_size("pageSize", 100, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {}
    if chosen:
        answer[key] = [shown(kept[name]) for name in chosen]
        answer["totalSize"] = len(names)
    if token:
        answer["nextPageToken"] = token
    return answer


def _ring_keys(call: Call) -> tuple[str, ...]:
    name, project = _parent(call, "keyRingsId")
    _found("KeyRing", name, call.emulator.service(Kms).rings)
    return name, project


def _key_keys(call: Call) -> tuple[str, ...]:
    name, project = _parent(call, "cryptoKeysId")
    _found("CryptoKey", name, call.emulator.service(Kms).keys)
    return name, name.partition("/cryptoKeys/")[0], project


serve_policies(routes, _RINGS, "cloudkms.keyRings", _ring_keys)
serve_policies(routes, _KEYS, "cloudkms.cryptoKeys", _key_keys)
