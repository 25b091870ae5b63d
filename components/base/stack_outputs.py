"""The outputs of a stack when an update fails."""

import pulumi


def keep_outputs_of_a_failed_update() -> None:
    """Keep the outputs that the stack has, should this update fail. To be called before anything can fail.

    The engine keeps old outputs of a failed update beside those that the program has registered. A program that ends
    before it has registered any counts as one without outputs, and all of them are shown as removed, below the report
    of what failed. So none are registered first; those of the end take their place.
    """
    root = pulumi.runtime.get_root_resource()
    if isinstance(root, pulumi.ComponentResource):  # none under mocks
        root.register_outputs({})
