"""Filter files that are made for an export: from lines a person wrote."""

import hashlib
from collections.abc import Iterable

from operations.clock import SYSTEM_CLOCK, Clock
from operations.cloud_storage import write_object
from operations.connection import Connection
from operations.errors import ApiError, OperationsError
from operations.filters import filter_from_lines
from operations.uris import CloudStoragePath

FOLDER = "filters"


def write_filter_lines(
    connection: Connection, bucket: str, name: str, lines: Iterable[str], clock: Clock = SYSTEM_CLOCK
) -> str:
    """Write lines as a filter file.

    Args:
        connection: the APIs.
        bucket: where the file goes.
        name: of the export; part of the object's name, with a digest of the lines, so that exports never share one.
        lines: resource paths.
        clock: real or simulated time.

    Returns:
        The `gs://` URI of the file.

    Raises:
        FilterError: a line is no resource path.
        OperationsError: the file can't be written.
    """
    content = filter_from_lines(lines, f'filter of "{name}"')
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = CloudStoragePath(bucket, f"{FOLDER}/{name}-{digest}.txt")
    try:
        write_object(connection, path, content, clock)
    except ApiError as error:
        raise OperationsError(f"the filter file {path.uri} can't be written: {error}") from error
    return path.uri
