"""Whether a Healthcare dataset can be made with its key by now.

Google makes a dataset in an operation, and tells in its result that the service agent can't use the key yet. The Google
provider doesn't look at that result: it reads the dataset, is refused, and takes it for one that exists. So after a
fresh grant on the key an empty dataset with the same key is made beside it and deleted again, until that succeeds.

https://cloud.google.com/healthcare-api/docs/cmek
"""

import time
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any

from components.access.google_rest import GoogleRest, RestError

_SUFFIX = "-key-check"
_PAUSE = 1.0


def try_key(rest: GoogleRest, inputs: Mapping[str, Any]) -> str | None:
    """Make an empty dataset with the key of another one, and delete it.

    Args:
        rest: the calls as the deploying identity.
        inputs: of the `gcp.healthcare.Dataset` that is to be made.

    Returns:
        None if that went well, else the service's own words.
    """
    parent = f"projects/{inputs['project']}/locations/{inputs['location']}/datasets"
    probe = f"{inputs['name']}{_SUFFIX}"
    with closing(rest):
        try:
            with suppress(RestError):
                # One that was left over by a run that was killed; as a rule there is none.
                rest.call("healthcare", "DELETE", f"v1/{parent}/{probe}")
            body = {"encryptionSpec": {"kmsKeyName": inputs["encryptionSpec"]["kmsKeyName"]}}
            operation = rest.call("healthcare", "POST", f"v1/{parent}?datasetId={probe}", body)
            while not operation.get("done"):
                time.sleep(_PAUSE)
                operation = rest.call("healthcare", "GET", f"v1/{operation['name']}")
            if "error" in operation:
                return str(operation["error"].get("message", "no reason given"))
            rest.call("healthcare", "DELETE", f"v1/{parent}/{probe}")
        except RestError as error:
            return str(error)
    return None
