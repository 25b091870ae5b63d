"""The little of Cloud Storage that is needed here: does a bucket exist, which objects are there, read and write one."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError
from operations.google.retrying import PATIENCE, Patience, call
from operations.model.uris import CloudStoragePath

_PAGE = 1000
_BLOCK = 8 * 1024 * 1024


@dataclass(frozen=True)
class StoredObject:
    """An object in a listing. `created` is RFC 3339; `generation` changes whenever the content does."""

    name: str
    size: int
    created: str
    generation: str


def read_bucket(
    connection: Connection, bucket: str, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> None:
    """Find out that a bucket is there.

    Raises:
        ApiError: 404 when there is none, 403 when the caller may not look.
    """
    call(
        connection,
        lambda: connection.storage.buckets().get(bucket=bucket, fields="name"),
        clock=clock,
        patience=patience,
    )


def list_objects(
    connection: Connection,
    bucket: str,
    prefix: str,
    *,
    max_pages: int,
    clock: Clock = SYSTEM_CLOCK,
    patience: Patience = PATIENCE,
    enough: Callable[[StoredObject], bool] = lambda _object: False,
) -> tuple[list[StoredObject], bool]:
    """List the objects whose names begin with `prefix`, until one of them is enough.

    Returns:
        The objects, 1,000 per page, and whether these are all.
    """
    found: list[StoredObject] = []
    for number, page in enumerate(_pages(connection, bucket, prefix, clock, patience), start=1):
        found += [
            StoredObject(
                item["name"], int(item.get("size", 0)), item.get("timeCreated", ""), item.get("generation", "")
            )
            for item in page.get("items", ())
        ]
        if page.get("nextPageToken") and (number >= max_pages or any(map(enough, found[-_PAGE:]))):
            return found, False
    return found, True


def has_objects(
    connection: Connection, bucket: str, prefix: str, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> bool:
    """Find out whether there is any object whose name begins with `prefix`, other than the folder itself.

    Raises:
        ApiError: 404 when there is no such bucket, 403 when the caller may not list it.
    """
    arguments = {"bucket": bucket, "prefix": prefix, "maxResults": 2, "fields": "items(name)"}
    page = cast(
        "Mapping[str, Any]", call(connection, _list_call(connection, arguments), clock=clock, patience=patience)
    )
    return any(item["name"] != prefix for item in page.get("items", ()))


def list_folders(
    connection: Connection, bucket: str, prefix: str, *, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> list[str]:
    """List the names directly under `prefix` that end in a slash, each with the prefix and the slash."""
    pages = _pages(connection, bucket, prefix, clock, patience, delimiter="/")
    return [folder for page in pages for folder in page.get("prefixes", ())]


def read_object(connection: Connection, path: CloudStoragePath, clock: Clock = SYSTEM_CLOCK) -> Iterator[bytes]:
    """Read an object in blocks of some megabytes.

    Raises:
        ApiError: 404 when there is none, 403 when the caller may not read it.
    """
    size = int(stat_object(connection, path, clock).get("size", 0))
    offset = 0
    while offset < size:
        block = cast("bytes", call(connection, _range_call(connection, path, offset, offset + _BLOCK - 1), clock=clock))
        if not block:
            return
        offset += len(block)
        yield block


def stat_object(connection: Connection, path: CloudStoragePath, clock: Clock = SYSTEM_CLOCK) -> Mapping[str, Any]:
    """Read an object's metadata: size, generation, crc32c and so on.

    Raises:
        ApiError: 404 when there is none, 403 when the caller may not read it.
    """
    return cast(
        "Mapping[str, Any]",
        call(connection, lambda: connection.storage.objects().get(bucket=path.bucket, object=path.path), clock=clock),
    )


def write_object(
    connection: Connection, path: CloudStoragePath, content: bytes, clock: Clock = SYSTEM_CLOCK, *, replace: bool = True
) -> None:
    """Write a text object.

    Args:
        connection: the APIs.
        path: where.
        content: all of it.
        clock: real or simulated time.
        replace: whether an object that is there already is replaced; else it is left and 412 is raised.

    Raises:
        ApiError: 404 when the bucket doesn't exist, 403 when the caller may not write there.
    """
    from googleapiclient.http import MediaIoBaseUpload

    arguments: dict[str, Any] = {"bucket": path.bucket, "name": path.path, "body": {"contentType": "text/plain"}}
    if not replace:
        arguments["ifGenerationMatch"] = "0"

    def prepare() -> Any:
        media = MediaIoBaseUpload(io.BytesIO(content), "text/plain", chunksize=-1, resumable=False)
        return connection.storage.objects().insert(**arguments, media_body=media)

    call(connection, prepare, clock=clock)


def _pages(
    connection: Connection, bucket: str, prefix: str, clock: Clock, patience: Patience, delimiter: str | None = None
) -> Iterator[Mapping[str, Any]]:
    token: str | None = None
    while True:
        arguments: dict[str, Any] = {
            "bucket": bucket,
            "prefix": prefix,
            "maxResults": _PAGE,
            "fields": "items(name,size,timeCreated,generation),prefixes,nextPageToken",
        }
        if delimiter:
            arguments["delimiter"] = delimiter
        if token:
            arguments["pageToken"] = token
        page = cast(
            "Mapping[str, Any]", call(connection, _list_call(connection, arguments), clock=clock, patience=patience)
        )
        yield page
        token = page.get("nextPageToken")
        if not token:
            return


def _list_call(connection: Connection, arguments: dict[str, Any]) -> Any:
    return lambda: connection.storage.objects().list(**arguments)


def _range_call(connection: Connection, path: CloudStoragePath, first: int, last: int) -> Any:
    def prepare() -> Any:
        request = connection.storage.objects().get_media(bucket=path.bucket, object=path.path)
        # The range must be one of the stored bytes, not of a compressed transfer.
        request.headers = {
            **(request.headers or {}),
            "range": f"bytes={first}-{last}",
            "accept-encoding": "identity",
        }
        return request

    return prepare


def compose_objects(
    connection: Connection,
    bucket: str,
    sources: list[str],
    target: str,
    clock: Clock = SYSTEM_CLOCK,
    *,
    replace: bool = True,
) -> None:
    """Put up to 32 objects together to one, in this order, without moving them through this machine.

    Safe to send again after a lost answer, because the target is not among the sources.

    Args:
        connection: the APIs.
        bucket: of all of them.
        sources: names of the objects.
        target: name of the object to write; it must not be a source.
        clock: real or simulated time.
        replace: whether an object that is there already is replaced. Without it the call is made on condition that
            there is none (`ifGenerationMatch=0`); one that is there was made by this call, whose answer was lost.

    Raises:
        ValueError: the target is one of the sources.
        ApiError: 404 when the bucket or a source doesn't exist, 403 when the caller does not have permission.
    """
    if target in sources:
        raise ValueError(f"{target} can't be composed of itself: a repeated call would add the rest twice")
    body: Any = {"sourceObjects": [{"name": name} for name in sources], "destination": {"contentType": "text/plain"}}
    arguments: dict[str, Any] = {"destinationBucket": bucket, "destinationObject": target, "body": body}
    if not replace:
        arguments["ifGenerationMatch"] = "0"
    try:
        call(connection, lambda: connection.storage.objects().compose(**arguments), clock=clock)
    except ApiError as error:
        if replace or error.status != 412:
            raise


def delete_object(connection: Connection, path: CloudStoragePath, clock: Clock = SYSTEM_CLOCK) -> None:
    """Delete an object; one that isn't there is fine."""
    try:
        call(connection, lambda: connection.storage.objects().delete(bucket=path.bucket, object=path.path), clock=clock)
    except ApiError as error:
        if error.status != 404:
            raise
