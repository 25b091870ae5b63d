"""Obtaining a Pulumi engine, and the environment to run it in.

An official Pulumi is used where there is one or where the official installer can be reached. Where neither is so,
the CLI is built from its tagged Go module and small plugins stand in for the official ones. Everything lives under
`.local/`.

    python -m engine ensure     # find, install or build
    eval "$(python -m engine env)"     # local stacks; `path` for those on Google Cloud
"""

from __future__ import annotations

from engine.locate import Engine, find
from engine.obtain import ensure, environment, path_only
from engine.places import EngineError, Places, places

__all__ = ["Engine", "EngineError", "Places", "ensure", "environment", "find", "path_only", "places"]
