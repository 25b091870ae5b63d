"""The command line `python -m operations`: list, describe, wait for, cancel, export, import, plan, filter files.

Modules, in the order a command meets them:

* what a person writes: `arguments`, `names`
* what is done: `operation_commands`, `run_commands` (with `runs` and `filter_sources`), `plan_command` (with
  `stack_state`), `filter_commands`, `format_commands`
* what a person sees: `watching` (while it goes on), `views` and `wording` (what came of it), `output`
* what a script sees: `exit_codes`, and the JSON documents of `views`

Results go to stdout, everything else to stderr. docs/command-line.md describes it for users.
"""

from operations.command_line.main import main

__all__ = ["main"]
