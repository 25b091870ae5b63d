"""A dynamic provider that the tests of its process hand to Pulumi's own server. It is pickled by its name."""

import threading
from typing import Any

from pulumi.dynamic import ConfigureRequest, CreateResult, ResourceProvider

from components.provider import process
from components.provider.engine_log import Failure

AT_ONCE = 40
MEETING_SECONDS = 240  # only for the case that not all arrive; a busy machine takes its time until they do
_everybody = threading.Barrier(AT_ONCE)


class TrialProvider(ResourceProvider):
    """Does what the test asks for, in a process that is prepared as that of starts and waits."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:  # noqa: ARG002 - the name of the call
        """Prepare the process."""
        process.prepare()

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Meet all other calls, fail, break, wait, or do nothing."""
        process.warn(props["urn"])
        what = props["what"]
        if what == "meet":
            _everybody.wait(MEETING_SECONDS)
        elif what == "fail":
            raise Failure("two\nlines")
        elif what == "break":
            raise RuntimeError("unexpected")
        elif what == "wait":
            process.clock.sleep(60)
        return CreateResult("trial", {})
