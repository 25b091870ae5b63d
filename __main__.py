"""The stack: medical images on Google Cloud, as `Pulumi.<stack>.yaml` describes them."""

import pulumi

from components import Imaging, check_access, keep_outputs_of_a_failed_update, load_settings, refusals_shown

keep_outputs_of_a_failed_update()
with refusals_shown():
    settings = load_settings()
    check_access(settings)
stack = Imaging(settings)

for name, value in stack.outputs.items():
    pulumi.export(name, value)
