"""`formats`: in which formats instances can be exported."""

import argparse
from dataclasses import asdict

from operations.command_line.exit_codes import ExitCode
from operations.command_line.session import Session
from operations.command_line.views import formats_table
from operations.model.mime_types import MIME_TYPES


def formats_command(_options: argparse.Namespace, session: Session) -> ExitCode:
    """Show what --mime-type takes."""
    session.output.result(formats_table(MIME_TYPES), [asdict(each) for each in MIME_TYPES])
    return ExitCode.SUCCEEDED
