"""Plugins that stand in for Pulumi's own where those can't be had. Each is a process that the engine starts."""
