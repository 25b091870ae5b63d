"""Numbers of enums: Google's own REST clients send and ask for them (``$alt=json;enum-encoding=int``).

Discovery documents have the names of the values and not their numbers; these are from the protocol buffers that
https://github.com/googleapis/googleapis publishes. Enums that are not here are known by name only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: First name of an enum, and another one that it has → number by name.
_ENUMS: dict[tuple[str, str], dict[str, int]] = {
    # google/pubsub/v1/pubsub.proto, schema.proto
    ("STATE_UNSPECIFIED", "RESOURCE_ERROR"): {"STATE_UNSPECIFIED": 0, "ACTIVE": 1, "RESOURCE_ERROR": 2},
    ("STATE_UNSPECIFIED", "INGESTION_RESOURCE_ERROR"): {
        "STATE_UNSPECIFIED": 0,
        "ACTIVE": 1,
        "INGESTION_RESOURCE_ERROR": 2,
    },
    ("ENCODING_UNSPECIFIED", "BINARY"): {"ENCODING_UNSPECIFIED": 0, "JSON": 1, "BINARY": 2},
    # google/cloud/kms/v1/resources.proto
    ("CRYPTO_KEY_PURPOSE_UNSPECIFIED", "ENCRYPT_DECRYPT"): {
        "CRYPTO_KEY_PURPOSE_UNSPECIFIED": 0,
        "ENCRYPT_DECRYPT": 1,
        "ASYMMETRIC_SIGN": 5,
        "ASYMMETRIC_DECRYPT": 6,
        "RAW_ENCRYPT_DECRYPT": 7,
        "MAC": 9,
    },
    ("PROTECTION_LEVEL_UNSPECIFIED", "SOFTWARE"): {
        "PROTECTION_LEVEL_UNSPECIFIED": 0,
        "SOFTWARE": 1,
        "HSM": 2,
        "EXTERNAL": 3,
        "EXTERNAL_VPC": 4,
    },
    ("CRYPTO_KEY_VERSION_STATE_UNSPECIFIED", "ENABLED"): {
        "CRYPTO_KEY_VERSION_STATE_UNSPECIFIED": 0,
        "ENABLED": 1,
        "DISABLED": 2,
        "DESTROYED": 3,
        "DESTROY_SCHEDULED": 4,
        "PENDING_GENERATION": 5,
        "PENDING_IMPORT": 6,
        "IMPORT_FAILED": 7,
        "GENERATION_FAILED": 8,
        "PENDING_EXTERNAL_DESTRUCTION": 9,
        "EXTERNAL_DESTRUCTION_FAILED": 10,
    },
    ("CRYPTO_KEY_VERSION_ALGORITHM_UNSPECIFIED", "GOOGLE_SYMMETRIC_ENCRYPTION"): {
        "CRYPTO_KEY_VERSION_ALGORITHM_UNSPECIFIED": 0,
        "GOOGLE_SYMMETRIC_ENCRYPTION": 1,
    },
    # google/cloud/resourcemanager/v3/projects.proto
    ("STATE_UNSPECIFIED", "DELETE_REQUESTED"): {"STATE_UNSPECIFIED": 0, "ACTIVE": 1, "DELETE_REQUESTED": 2},
    # google/api/serviceusage/v1/resources.proto
    ("STATE_UNSPECIFIED", "DISABLED"): {"STATE_UNSPECIFIED": 0, "DISABLED": 1, "ENABLED": 2},
}


def _numbers(names: list[str]) -> dict[str, int]:
    """Number by name of the enum that has these names; empty for one that is not known by number."""
    for (first, other), numbers in _ENUMS.items():
        if names[0] == first and other in names:
            return numbers
    return {}


def name_of(names: list[str], value: Any) -> Any:
    """The name of an enum's value that was sent as a number; any other value as it is.

    Args:
        names: the enum's, as the discovery document has them.
        value: what was sent.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return next((name for name, number in _numbers(names).items() if number == value), value)
    return value


def as_numbers(schemas: Mapping[str, Any], spec: Mapping[str, Any], value: Any) -> Any:
    """An answer with the numbers of its enums in place of their names.

    Args:
        schemas: of the discovery document.
        spec: the answer's schema.
        value: the answer.
    """
    if "$ref" in spec:
        spec = schemas[spec["$ref"]]
    if isinstance(value, dict):
        properties, rest = spec.get("properties", {}), spec.get("additionalProperties", {})
        return {key: as_numbers(schemas, properties.get(key, rest), item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_numbers(schemas, spec.get("items", {}), item) for item in value]
    if isinstance(value, str) and spec.get("enum"):
        return _numbers(spec["enum"]).get(value, value)
    return value
