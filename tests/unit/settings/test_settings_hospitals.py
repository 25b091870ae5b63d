"""The settings that hospitals are asked for: each as documented, each mistake with key, value and fix."""

import importlib
from typing import Any

import pytest

from components.settings import SettingsError, settings_from, settings_warnings

yaml = importlib.import_module("yaml")  # it has no type stubs

BASE = """
project: hospital-imaging
location: europe-west4
dataset: { name: radiology }
stores: [ { name: pacs } ]
"""

# The configuration of the design document, as it stands there.
EVERYTHING = """
buckets:
  - name: hospital-logs
    location: EU
  - name: hospital-archive
    location: EU
    storageClass: NEARLINE
    versioning: true
    softDelete: 14d
    retention: { for: 30d, locked: false }
    eventBasedHold: true
    regions: [ EUROPE-WEST1, EUROPE-WEST4 ]
    turboReplication: true
    accessLogs: { bucket: hospital-logs, prefix: imaging }
    cors: [ { origins: [ "https://viewer.example.org" ], methods: [ GET ], headers: [ Content-Type ], maxAge: 1h } ]
    lifecycle:
      - { action: delete, afterDays: 365, prefixes: [ tmp/ ], suffixes: [ .tmp ], storageClasses: [ STANDARD ] }
      - { action: delete, newerVersions: 3 }
      - { action: delete, noncurrentDays: 30 }
      - { action: delete, createdBefore: "2024-01-01" }
      - { action: abort-uploads, afterDays: 7 }
  - { name: hospital-auto, autoclass: { terminalStorageClass: ARCHIVE } }
  - { name: hospital-auto-2, autoclass: true }
topics:   [ { name: dicom, regions: [ europe-west4 ], enforceInTransit: true, retention: 7d } ]
bigquery: [ { name: dicom, title: Imaging, partitionExpiration: 90d, timeTravel: 72h, billing: physical,
              tags: { hospital-imaging/environment: production } } ]
"""


def settings_of(text: str) -> dict[str, Any]:
    return {**yaml.safe_load(BASE), **yaml.safe_load(text)}


def problems_of(text: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        settings_from(settings_of(text))
    return [f"{problem.key}  {problem.text}" for problem in refused.value.problems]


def warnings_of(text: str) -> list[str]:
    return [f"{each.key}  {each.text}" for each in settings_warnings(settings_from(settings_of(text)))]


def test_everything_at_once_is_taken_without_a_warning() -> None:
    settings = settings_from(settings_of(EVERYTHING))
    archive = settings.buckets[1]
    assert archive.soft_delete == 14 * 86400
    assert archive.retention is not None
    assert archive.retention.for_ == 30 * 86400
    assert settings.topics[0].retention == 7 * 86400
    assert settings.bigquery[0].time_travel == 72 * 3600
    assert settings_warnings(settings) == []


BUCKET = "buckets: [ { name: archive, location: EU, %s } ]"
KEY = "imaging:buckets[0]"

REFUSED = {
    "an_unknown_class": (
        BUCKET % "storageClass: COLD",
        [f'{KEY}.storageClass  "COLD" is not one of STANDARD, NEARLINE, COLDLINE, ARCHIVE; did you mean "COLDLINE"?'],
    ),
    "a_short_soft_delete": (
        BUCKET % "softDelete: 3d",
        [f'{KEY}.softDelete  "3 d" is not possible; write 0d, which turns it off, or 7d to 90d'],
    ),
    "a_retention_of_a_century_and_more": (
        BUCKET % "retention: { for: 40000d }",
        [f'{KEY}.retention.for  "40000 d" is not possible; write whole seconds, up to 36525d'],
    ),
    "a_retention_without_a_time": (
        BUCKET % "retention: { locked: true }",
        [
            (
                f"{KEY}.retention.for  is missing: time for which an object can be neither deleted nor "
                f"replaced, such as `30d`"
            )
        ],
    ),
    "a_lock_without_protection": (
        "deletionProtection: false\n" + BUCKET % "retention: { for: 30d, locked: true }",
        [
            (
                f"{KEY}.retention.locked  is true, and imaging:deletionProtection is false; a lock can't be "
                f"undone, so "
                "remove deletionProtection: false, or the lock"
            )
        ],
    ),
    "one_region": (
        BUCKET % "regions: [ europe-west1 ]",
        [f"{KEY}.regions  EUROPE-WEST1; a dual-region has two different regions"],
    ),
    "the_same_region_twice": (
        BUCKET % "regions: [ europe-west1, EUROPE-WEST1 ]",
        [f"{KEY}.regions  EUROPE-WEST1, EUROPE-WEST1; a dual-region has two different regions"],
    ),
    "regions_of_another_continent": (
        BUCKET % "regions: [ europe-west1, us-east1 ]",
        [f"{KEY}.regions  US-EAST1 is not in EU; write regions of EU"],
    ),
    "regions_in_a_region": (
        "buckets: [ { name: archive, regions: [ europe-west1, europe-west4 ] } ]",
        [f'{KEY}.location  "EUROPE-WEST4" is one region; write the place of both regions, such as EU'],
    ),
    "a_zone": (
        BUCKET % "regions: [ europe-west1-b, europe-west4 ]",
        [
            (
                f'{KEY}.regions[0]  "europe-west1-b" is not a valid region; write one such as europe-west4, '
                f"without a zone "
                "at its end"
            )
        ],
    ),
    "turbo_in_one_region": (
        BUCKET % "turboReplication: true",
        [f'{KEY}.turboReplication  is for dual-regions, and "EU" is not one; write two regions, or remove it'],
    ),
    "logs_into_itself": (
        BUCKET % "accessLogs: { bucket: archive }",
        [f"{KEY}.accessLogs.bucket  archive → archive logs into itself; write another bucket"],
    ),
    "logs_in_a_circle": (
        "buckets: [ { name: aaa, accessLogs: { bucket: bbb } }, { name: bbb, accessLogs: { bucket: aaa } } ]",
        [
            "imaging:buckets[0].accessLogs.bucket  aaa → bbb → aaa logs into itself; write another bucket",
            "imaging:buckets[1].accessLogs.bucket  bbb → aaa → bbb logs into itself; write another bucket",
        ],
    ),
    "an_origin_with_a_path": (
        BUCKET % "cors: [ { origins: [ https://viewer.example.org/viewer ], methods: [ get ] } ]",
        [
            (
                f'{KEY}.cors[0].origins[0]  "https://viewer.example.org/viewer" is not a valid origin; '
                f"write https://HOST, "
                "without a path, or *"
            ),
            (
                f'{KEY}.cors[0].methods[0]  "get" is not one of GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS, *; '
                'did you mean "GET"?'
            ),
        ],
    ),
    "a_rule_without_a_condition": (
        BUCKET % "lifecycle: [ { action: delete } ]",
        [f"{KEY}.lifecycle[0]  has no condition, and would apply to every object; write one, such as afterDays"],
    ),
    "a_rule_of_the_old_form": (
        BUCKET % "lifecycle: [ { action: delete, afterDays: 1, prefix: tmp/ } ]",
        [f'{KEY}.lifecycle[0].prefix  is not a setting; did you mean "prefixes"?'],
    ),
    "uploads_by_version": (
        BUCKET % "versioning: true, lifecycle: [ { action: abort-uploads, newerVersions: 3 } ]",
        [f"{KEY}.lifecycle[0].newerVersions  is not for abort-uploads, which takes afterDays, prefixes, suffixes"],
    ),
    "a_day_that_is_none": (
        BUCKET % 'lifecycle: [ { action: delete, createdBefore: "2023-02-29" } ]',
        [f'{KEY}.lifecycle[0].createdBefore  "2023-02-29" is not a valid date; there is no such day'],
    ),
    "autoclass_beside_classes": (
        BUCKET % "autoclass: true, storageClass: ARCHIVE, lifecycle: [ { action: COLDLINE, afterDays: 1 } ]",
        [
            f"{KEY}.storageClass  is chosen by autoclass, which begins with STANDARD; remove storageClass",
            f"{KEY}.lifecycle[0]  is about storage classes, which autoclass chooses; remove the rule or autoclass",
        ],
    ),
    "autoclass_as_text": (BUCKET % "autoclass: 'yes'", [f'{KEY}.autoclass  "yes" is not true or false']),
    "an_unknown_terminal_class": (
        BUCKET % "autoclass: { terminalStorageClass: COLDLINE }",
        [f'{KEY}.autoclass.terminalStorageClass  "COLDLINE" is not one of NEARLINE, ARCHIVE'],
    ),
    "a_topic_enforced_nowhere": (
        "topics: [ { name: dicom, enforceInTransit: true } ]",
        ["imaging:topics[0].enforceInTransit  is about the topic's regions; write regions, or remove it"],
    ),
    "a_topic_that_keeps_too_long": (
        "topics: [ { name: dicom, retention: 32d } ]",
        ['imaging:topics[0].retention  "32 d" is not possible; write whole seconds, 10m to 31d'],
    ),
    "a_time_travel_between_days": (
        "bigquery: [ { name: dicom, timeTravel: 50h } ]",
        [
            (
                'imaging:bigquery[0].timeTravel  "2 d 2 h" is not possible; write whole days: 48h, 72h, 96h, '
                "120h, 144h or "
                "168h"
            )
        ],
    ),
    "a_tag_without_parent": (
        "bigquery: [ { name: dicom, tags: { environment: production } } ]",
        [
            (
                'imaging:bigquery[0].tags  "environment" is not a valid tag key; write PARENT/KEY, where PARENT is a '
                "project's id or an organisation's number"
            )
        ],
    ),
    "every_change_of_an_existing_bucket": (
        "buckets: [ { name: archive, existing: true, versioning: false, softDelete: 0d, regions: [] } ]",
        [
            f"{KEY}.versioning  would change something that exists already; remove it, or remove existing: true",
            f"{KEY}.softDelete  would change something that exists already; remove it, or remove existing: true",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_refused_with_key_value_and_fix(case: str) -> None:
    text, expected = REFUSED[case]
    assert problems_of(text) == expected


class TestMembers:
    @pytest.mark.parametrize(
        "member",
        [
            "user:alice@example.org",
            "group:radiologists@example.org",
            "serviceAccount:viewer@hospital-imaging.iam.gserviceaccount.com",
            "serviceAccount:hospital-imaging.svc.id.goog[viewers/ohif]",
            "domain:example.org",
            "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/alice",
            "principalSet://iam.googleapis.com/locations/global/workforcePools/staff/group/radiology",
            (
                "principal://iam.googleapis.com/projects/4711/locations/global/workloadIdentityPools/"
                "hospital-imaging.svc.id.goog/subject/ns/viewers/sa/ohif"
            ),
            (
                "principalSet://iam.googleapis.com/projects/4711/locations/global/workloadIdentityPools/ci/"
                "attribute.repository/hospital/imaging"
            ),
            "principalSet://iam.googleapis.com/projects/4711/locations/global/workloadIdentityPools/ci/*",
            "principalSet://cloudresourcemanager.googleapis.com/projects/4711/type/ServiceAccount",
        ],
    )
    def test_every_documented_form_is_taken(self, member: str) -> None:
        """https://cloud.google.com/iam/docs/principal-identifiers."""
        settings = settings_from(settings_of(f"stores: [ {{ name: pacs, readers: [ {member!r} ] }} ]"))
        assert settings.stores[0].readers == [member]

    @pytest.mark.parametrize(
        "member",
        [
            "alice",
            "user:alice",
            "domain:alice@example.org",
            "domain:example",
            "serviceAccount:hospital-imaging.svc.id.goog",
            "serviceAccount:hospital-imaging.svc.id.goog[viewers]",
            "serviceAccount:hospital-imaging.svc.id.goog[view ers/ohif]",
            "principal://example.org/subject/alice",
            "principalSet://",
            "projectOwner:hospital-imaging",
            "deleted:user:alice@example.org?uid=1",
            "allAuthenticatedUsers",
        ],
    )
    def test_other_forms_are_refused_where_they_stand(self, member: str) -> None:
        [problem] = problems_of(f"stores: [ {{ name: pacs, readers: [ {member!r} ] }} ]")
        assert problem.startswith(f'imaging:stores[0].readers[0]  "{member}" ')

    def test_a_condition_is_checked_part_by_part(self) -> None:
        member = "{ member: alice@example.org, condition: { expression: '  ', titel: x } }"
        assert problems_of(f"bigquery: [ {{ name: dicom, readers: [ group:a@example.org, {member} ] }} ]") == [
            (
                'imaging:bigquery[0].readers[1].member  "alice@example.org" has no kind of member; write '
                "user:alice@example.org or group:alice@example.org"
            ),
            (
                "imaging:bigquery[0].readers[1].condition.title  is missing: short name of the condition, "
                "up to 100 bytes"
            ),
            'imaging:bigquery[0].readers[1].condition.expression  "  " is empty; write a text, or remove it',
            'imaging:bigquery[0].readers[1].condition.titel  is not a setting; did you mean "title"?',
        ]


class TestWriters:
    EXPORT = "{ name: %s, store: pacs, to: %s }"

    @pytest.mark.parametrize(
        ("first", "second", "place"),
        [
            ("gs://out-bucket/x", "gs://out-bucket/x/", "also"),
            ("gs://out-bucket/x/", "gs://out-bucket/x/2024", "inside"),
            ("gs://out-bucket/x/2024/", "gs://out-bucket/x", "around"),
            ("gs://out-bucket", "gs://out-bucket/x", "inside"),
            ("gs://out-bucket/", "gs://out-bucket", "also"),
        ],
    )
    def test_two_exports_to_folders_that_meet_are_refused(self, first: str, second: str, place: str) -> None:
        exports = ", ".join([self.EXPORT % ("a", first), self.EXPORT % ("b", second)])
        assert problems_of(f"exports: [ {exports} ]") == [
            (
                f'imaging:exports[1].to  "{second}" is {place} the folder of imaging:exports[0]; export to '
                f"different folders"
            )
        ]

    def test_folders_side_by_side_are_taken(self) -> None:
        exports = ", ".join(self.EXPORT % (name, f"gs://out-bucket/{name}") for name in ("a", "ab", "b"))
        assert len(settings_from(settings_of(f"exports: [ {exports} ]")).exports) == 3

    @pytest.mark.parametrize("disposition", ["WRITE_EMPTY", "WRITE_TRUNCATE", "WRITE_APPEND"])
    def test_a_stream_to_the_table_of_an_export_is_refused(self, disposition: str) -> None:
        table = "bq://p-rojects.dicom.instances"
        stores = f"stores: [ {{ name: pacs, streams: [ {{ table: {table} }} ] }} ]"
        export = f"{{ name: m, store: pacs, to: {table}, writeDisposition: {disposition} }}"
        assert problems_of(f"{stores}\nexports: [ {export} ]") == [
            (
                f'imaging:exports[0].to  "{table}" is the table of imaging:stores[0].streams[0].table; '
                "stream and export to different tables"
            )
        ]


class TestOneReport:
    def test_a_destination_without_a_scheme_hides_nothing_else(self) -> None:
        problems = problems_of(
            "exports: [ { name: m, store: pacs, to: research.dicom.instances, rerun: allways, mimeType: image/png } ]"
        )
        assert [problem.split("  ")[0] for problem in problems] == [
            "imaging:exports[0].rerun",
            "imaging:exports[0].to",
            "imaging:exports[0].mimeType",
            "imaging:exports[0].writeDisposition",
        ]

    def test_every_bad_label_and_every_bad_line_is_named(self) -> None:
        problems = problems_of(
            "stores: [ { name: pacs, labels: { Team: Radiology, Site: x, ok: FINE } } ]\n"
            "exports: [ { name: i, store: pacs, to: gs://out-bucket/x, "
            "filter: { lines: [ study/1.2, /studies/1.2, '', /studies/1.2/series/x ] } } ]"
        )
        assert [problem.split("  ")[0] for problem in problems] == [
            "imaging:stores[0].labels",
            "imaging:stores[0].labels.Team",
            "imaging:stores[0].labels",
            "imaging:stores[0].labels.ok",
            "imaging:exports[0].filter.lines[0]",
            "imaging:exports[0].filter.lines[2]",
            "imaging:exports[0].filter.lines[3]",
        ]

    @pytest.mark.parametrize("query", ["", "  ", "\n"])
    def test_an_empty_query_is_refused(self, query: str) -> None:
        raw = settings_of("{}")
        raw["exports"] = [{"name": "i", "store": "pacs", "to": "gs://out-bucket/x", "filter": {"query": query}}]
        with pytest.raises(SettingsError) as refused:
            settings_from(raw)
        [problem] = refused.value.problems
        assert problem.key == "imaging:exports[0].filter.query"
        assert problem.text.endswith("is empty; write a query, or remove the filter to export everything")


class TestWarnings:
    STORES = "stores: [ { name: pacs, notifications: [ { topic: projects/p-rojects/topics/dicom %s } ] } ]\n"
    IMPORT = "imports: [ { name: archive, store: pacs, from: gs://in-bucket/** } ]"

    def test_imports_that_announce_nothing(self) -> None:
        assert warnings_of(self.STORES % "" + self.IMPORT) == [
            (
                "imaging:stores[0].notifications[0].bulkImports  is not set, so the instances of archive "
                "are not announced; "
                "write true to announce them, or false if that is meant"
            )
        ]
        assert warnings_of(self.STORES % "") == []

    @pytest.mark.parametrize("value", ["true", "false"])
    def test_a_choice_is_no_warning(self, value: str) -> None:
        assert warnings_of(self.STORES % f", bulkImports: {value}" + self.IMPORT) == []

    def test_a_lock_says_that_it_cannot_be_undone(self) -> None:
        [warning] = warnings_of(BUCKET % "retention: { for: 3650d, locked: true }")
        assert warning.startswith(
            f"{KEY}.retention.locked  can't be undone: every object of archive stays for at least"
        )
        assert "3650 d" in warning

    def test_rules_for_versions_that_are_not_kept(self) -> None:
        assert warnings_of(BUCKET % "lifecycle: [ { action: delete, newerVersions: 3 } ]") == [
            (
                f"{KEY}.lifecycle[0].newerVersions  is about earlier versions of objects, and the bucket "
                f"keeps none; write "
                "versioning: true"
            )
        ]
        assert warnings_of(BUCKET % "versioning: true, lifecycle: [ { action: delete, newerVersions: 3 } ]") == []

    def test_a_uid_with_a_leading_zero(self) -> None:
        lines = "filter: { lines: [ /studies/1.2, /studies/1.02 ] }"
        assert warnings_of(f"exports: [ {{ name: i, store: pacs, to: gs://out-bucket/x, {lines} }} ]") == [
            (
                'imaging:exports[0].filter.lines[1]  "/studies/1.02" has a UID component with a leading '
                "zero, which DICOM "
                "does not allow"
            )
        ]

    def test_a_condition_on_a_store(self) -> None:
        condition = "{ title: until 2027, expression: \"request.time < timestamp('2027-01-01T00:00:00Z')\" }"
        readers = f"readers: [ {{ member: 'group:a@example.org', condition: {condition} }} ]"
        [warning] = warnings_of(f"stores: [ {{ name: pacs, {readers} }} ]")
        assert warning.startswith("imaging:stores[0].readers[0].condition  ")
        assert warnings_of(f"bigquery: [ {{ name: dicom, {readers} }} ]") == []
