"""The stack: medical images on Google Cloud, as `Pulumi.<stack>.yaml` describes them."""

import pulumi

from components import Imaging, load_settings

stack = Imaging(load_settings())

for name, value in stack.outputs.items():
    pulumi.export(name, value)
