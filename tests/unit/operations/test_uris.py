"""bq:// and gs:// URIs: refused with the form that is right, and wildcards as the service documents them.

Expected matches are those of https://cloud.google.com/healthcare-api/docs/how-tos/dicom-import-export.
"""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.model.uris import (
    BigQueryTable,
    CloudStoragePath,
    UriError,
    parse_bigquery_uri,
    parse_cloud_storage_uri,
    parse_export_prefix,
    parse_import_uri,
    parse_object_uri,
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no BigQuery table"),
        ("research.dicom.instances", "is no BigQuery table"),
        ("gs://bucket/path", "is no BigQuery table"),
        ("bq://research", "names no dataset and no table"),
        ("bq://research.dicom", "names no table"),
        ("bq://research.dicom.", '"" is no table name'),
        ("bq://research..instances", '"" is no dataset name'),
        ("bq://.dicom.instances", '"" is no project id'),
        ("bq://research.dicom.instances.more", "has 4 parts"),
        ("bq://Research.dicom.instances", '"Research" is no project id'),
        ("bq://research.dicom-a.instances", '"dicom-a" is no dataset name'),
        ("bq://research.dicom.in stances", '"in stances" is no table name'),
        ("bq://research.dicom.inst-ances", "letters, digits, underscores"),
        ("bq://research.dicom.täble", "is no table name"),
        ("bq://research.dicom." + "a" * 2000, "2000 at most"),
        ("BQ://research.dicom.instances", "is no BigQuery table"),
    ],
)
def test_a_malformed_table_uri_is_refused_with_the_right_form(text: str, problem: str) -> None:
    with pytest.raises(UriError) as caught:
        parse_bigquery_uri(text)
    assert problem in str(caught.value)
    assert "bq://PROJECT.DATASET.TABLE" in str(caught.value) or "2000" in problem


def test_a_table_uri_is_read() -> None:
    assert parse_bigquery_uri("bq://research-analytics.dicom.Instances_2024") == BigQueryTable(
        "research-analytics", "dicom", "Instances_2024"
    )


def test_a_project_may_be_scoped_by_a_domain() -> None:
    table = parse_bigquery_uri("bq://example.com:imaging.dicom.instances")
    assert (table.project, table.dataset, table.table) == ("example.com:imaging", "dicom", "instances")
    assert table.uri == "bq://example.com:imaging.dicom.instances"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no Cloud Storage URI"),
        ("s3://bucket/path", "is no Cloud Storage URI"),
        ("gs://", "names no bucket"),
        ("gs:///path", "names no bucket"),
        ("gs://b/path", "is no bucket name"),
        ("gs://Bucket/path", "is no bucket name"),
        ("gs://bucket-/path", "is no bucket name"),
        ("gs://192.168.0.1/path", "looks like an IP address"),
        ("gs://a..b/path", "each part between dots"),
        ("gs://" + "a" * 64 + "/path", "each part between dots"),
        ("gs://bucket//path", "two slashes"),
        ("gs://bucket/a\nb", "no line breaks"),
        ("gs://bucket/" + "ä" * 600, "longer than 1024 bytes"),
        ("gs://bucket/*.dcm", "wildcards are for imports only"),
        ("gs://buck?t/path", "wildcard in the bucket"),
    ],
)
def test_a_malformed_cloud_storage_uri_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UriError) as caught:
        parse_cloud_storage_uri(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path"), [("gs://bucket", ""), ("gs://bucket/", ""), ("gs://bucket/a", "a/"), ("gs://bucket/a/b/", "a/b/")]
)
def test_an_export_prefix_ends_in_a_slash_unless_it_is_the_bucket(text: str, path: str) -> None:
    assert parse_export_prefix(text) == CloudStoragePath("bucket", path)


@pytest.mark.parametrize("text", ["gs://bucket", "gs://bucket/", "gs://bucket/folder/"])
def test_a_filter_file_must_be_an_object(text: str) -> None:
    with pytest.raises(UriError, match="names no object"):
        parse_object_uri(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gs://bucket", "names no object"),
        ("gs://bucket/", "names no object"),
        ("gs://bucket/folder/", "names a folder"),
        ("gs://bucket/**/x.dcm", "must end the path"),
        ("gs://bucket/**x", "must end the path"),
        ("gs://bucket/*/**", "can't stand in one path"),
        ("gs://bucket/a?/**.dcm", "can't stand in one path"),
        ("gs://bucket/***", "can't stand in one path"),
        ("gs://bucket/**/**", "can't stand in one path"),
        ("gs://*/a.dcm", "wildcard in the bucket"),
    ],
)
def test_a_wildcard_in_the_wrong_place_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UriError) as caught:
        parse_import_uri(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("dir/Example*.dcm", ["dir/Example.dcm", "dir/Example22.dcm"], ["dir/a/Example.dcm", "dir/Example/1.dcm"]),
        ("dir/Example?.dcm", ["dir/Example1.dcm"], ["dir/Example.dcm", "dir/Example01.dcm"]),
        # One character *of a name*, as for the emulator: the documentation's examples stay within a folder.
        ("dir?a.dcm", ["dir1a.dcm"], ["dir/a.dcm"]),
        ("dir/**.dcm", ["dir/a.dcm", "dir/b/c/d.dcm"], ["dir/a.txt", "other/a.dcm", "dira.dcm"]),
        ("dir/**", ["dir/a", "dir/b/c"], ["dir", "other/a"]),
        ("*.dcm", ["a.dcm"], ["dir/a.dcm"]),
        ("a+(b).dcm", ["a+(b).dcm"], ["aab.dcm"]),
    ],
)
def test_wildcards_match_as_documented(pattern: str, matching: list[str], other: list[str]) -> None:
    source = parse_import_uri(f"gs://bucket/{pattern}")
    assert [name for name in matching + other if source.matches(name)] == matching


_NAMES = st.text(alphabet="ab./1", min_size=1, max_size=12)


@given(st.text(alphabet="ab1/.*?", min_size=1, max_size=10), _NAMES)
def test_single_wildcards_match_as_shell_patterns_do_within_one_folder(pattern: str, name: str) -> None:
    """Python's fnmatch is the second opinion; its `*` and `?` know no folders, so both sides are split at `/`."""
    if "**" in pattern or pattern.startswith("/") or pattern.endswith("/"):
        return
    source = parse_import_uri(f"gs://bucket/{pattern}")
    parts, names = pattern.split("/"), name.split("/")
    expected = len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts))
    assert source.matches(name) is expected


@given(st.text(alphabet="ab1/.", min_size=1, max_size=8), _NAMES, st.sampled_from(["", ".dcm"]))
def test_a_double_wildcard_matches_everything_between_prefix_and_extension(
    prefix: str, name: str, extension: str
) -> None:
    if prefix.startswith("/"):
        return
    source = parse_import_uri(f"gs://bucket/{prefix}**{extension}")
    fits = name.startswith(prefix) and name.endswith(extension) and len(name) >= len(prefix) + len(extension)
    assert source.matches(name) is fits
    assert name.startswith(source.literal_prefix) or not fits


@given(st.text(max_size=60))
def test_no_text_makes_the_parsers_fail_in_another_way(text: str) -> None:
    for scheme in ("", "bq://", "gs://", "gs://bucket/"):
        for parse in (parse_bigquery_uri, parse_cloud_storage_uri, parse_import_uri, parse_object_uri):
            try:
                uri = parse(scheme + text).uri
            except UriError:
                continue
            assert parse(uri).uri == uri
