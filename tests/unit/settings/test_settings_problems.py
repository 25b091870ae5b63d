"""What is refused in a stack configuration, and in which words. The texts are the interface: compared whole."""

import importlib
import json
from collections.abc import Iterator

import pulumi
import pytest
from pulumi.runtime import config as pulumi_config

from components.settings import Settings, SettingsError, load_settings, settings_from
from components.settings.fields import comparable_member
from components.settings.load import foreign_namespaces, stack_configuration

yaml = importlib.import_module("yaml")  # it has no type stubs

BASE = """
project: hospital-imaging
location: europe-west4
dataset: { name: radiology }
stores: [ { name: pacs } ]
"""

EXPORT = (
    "exports: [ { name: metadata, store: pacs, to: bq://p-rojects.dicom.instances, "
    "writeDisposition: WRITE_EMPTY, %s } ]"
)
IMAGES = "exports: [ { name: images, store: pacs, to: gs://hospital-dicom-out/images/, %s } ]"

CASES = {
    "a_former_name_that_a_run_has_now": (
        (
            "exports: [ { name: a, formerly: [b], store: pacs, to: gs://out-bucket/a/ }, "
            "{ name: b, store: pacs, to: gs://out-bucket/b/ } ]"
        ),
        [
            (
                'imaging:exports[0].formerly[0]  "b" is the name of imaging:exports[1] now; remove it here, and both '
                "run again, or rename in two updates, with a third name in between"
            )
        ],
    ),
    "a_former_name_of_two_runs": (
        (
            "exports: [ { name: a, formerly: [c], store: pacs, to: gs://out-bucket/a/ }, "
            "{ name: b, formerly: [c], store: pacs, to: gs://out-bucket/b/ } ]"
        ),
        ['imaging:exports[1].formerly[0]  "c" is a former name in imaging:exports[0].formerly[0] already'],
    ),
    "a_table_uri_without_table": (
        "exports: [ { name: m, store: pacs, to: bq://research-analytics.dicom, writeDisposition: WRITE_EMPTY } ]",
        ['imaging:exports[0].to  "bq://research-analytics.dicom" names no table; write bq://PROJECT.DATASET.TABLE'],
    ),
    "a_destination_that_is_neither": (
        "exports: [ { name: m, store: pacs, to: s3://bucket/folder } ]",
        [
            (
                'imaging:exports[0].to  "s3://bucket/folder" is not a valid destination; '
                "write bq://PROJECT.DATASET.TABLE for metadata or gs://BUCKET/FOLDER/ for images"
            )
        ],
    ),
    "a_missing_write_disposition": (
        "exports: [ { name: m, store: pacs, to: bq://p-rojects.dicom.instances } ]",
        [
            (
                "imaging:exports[0].writeDisposition  is missing; write WRITE_EMPTY (the table must be "
                "empty or absent), "
                "WRITE_TRUNCATE (its rows are replaced) or WRITE_APPEND (rows are added)"
            )
        ],
    ),
    "a_mistyped_write_disposition": (
        EXPORT.replace("WRITE_EMPTY", "WRITE_TRUNCAT") % "views: true",
        [
            (
                'imaging:exports[0].writeDisposition  "WRITE_TRUNCAT" is not one of WRITE_EMPTY, '
                "WRITE_TRUNCATE, WRITE_APPEND; "
                'did you mean "WRITE_TRUNCATE"?'
            )
        ],
    ),
    "mime_type_and_write_disposition_to_cloud_storage": (
        IMAGES % "mimeType: image/png, writeDisposition: WRITE_EMPTY",
        ["imaging:exports[0]  both mimeType and writeDisposition are set; writeDisposition is for bq:// destinations"],
    ),
    "mime_type_and_write_disposition_to_bigquery": (
        EXPORT % "mimeType: image/png",
        ["imaging:exports[0]  both mimeType and writeDisposition are set; mimeType is for gs:// destinations"],
    ),
    "views_of_images": (
        IMAGES % "views: true",
        ["imaging:exports[0].views  is for bq:// destinations, and `to` is a gs:// one; remove it"],
    ),
    "views_of_the_json_schema": (
        EXPORT % "schema: json, views: true",
        ["imaging:exports[0].views  the reference views read the flattened schema; remove views or schema: json"],
    ),
    "an_unknown_mime_type": (
        IMAGES % "mimeType: image/jpg",
        [
            (
                'imaging:exports[0].mimeType  "image/jpg" is no format that can be exported; did you mean '
                '"image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50" (jpeg: JPEG for viewing)?'
            )
        ],
    ),
    "a_store_that_is_not_declared": (
        "imports: [ { name: archive, store: pax, from: gs://hospital-dicom-inbox/a.dcm } ]",
        ['imaging:imports[0].store  "pax" is not declared under imaging:stores; did you mean "pacs"?'],
    ),
    "a_wildcard_in_the_middle": (
        'imports: [ { name: archive, store: pacs, from: "gs://hospital-dicom-inbox/**/x.dcm" } ]',
        [
            (
                'imaging:imports[0].from  "gs://hospital-dicom-inbox/**/x.dcm": ** must end the path, '
                "optionally followed by an "
                "extension; write gs://BUCKET/FOLDER/** or gs://BUCKET/FOLDER/**.dcm"
            )
        ],
    ),
    "an_unknown_key_inside": (
        EXPORT % "writeDispositon: WRITE_EMPTY",
        ['imaging:exports[0].writeDispositon  is not a setting; did you mean "writeDisposition"?'],
    ),
    "a_key_in_python_spelling": (
        IMAGES % "allowed_failures: 3",
        ['imaging:exports[0].allowed_failures  is not a setting; did you mean "allowedFailures"?'],
    ),
    "an_unknown_key_at_the_top": (
        "export: []",
        ['imaging:export  is not a setting; did you mean "exports"?'],
    ),
    "an_unlike_key": (
        "topics: [ { name: dicom, zzz: 1 } ]",
        [
            (
                "imaging:topics[0].zzz  is not a setting; settings here are name, project, labels, kmsKey, "
                "regions, enforceInTransit, retention, existing"
            )
        ],
    ),
    "a_missing_name": (
        "buckets: [ { location: EU } ]",
        ["imaging:buckets[0].name  is missing: the bucket's name, unique in all of Google Cloud"],
    ),
    "a_list_that_is_a_mapping": ("buckets: { name: inbox }", ['imaging:buckets  {"name": "inbox"} is not a list']),
    "a_mapping_that_is_text": ("stores: [ pacs ]", ['imaging:stores[0]  "pacs" is not a mapping']),
    "a_number_as_text": (
        IMAGES % "allowedFailures: '3'",
        ['imaging:exports[0].allowedFailures  "3" is not a whole number'],
    ),
    "a_negative_number": (
        IMAGES % "allowedFailures: -1",
        ["imaging:exports[0].allowedFailures  -1 is too small; it must be at least 0"],
    ),
    "a_label_that_is_a_number": (
        "stores: [ { name: pacs, labels: { year: 2024 } } ]",
        ["imaging:stores[0].labels.year  2024 is not text; put it in quotes"],
    ),
    "a_label_in_capitals": (
        "stores: [ { name: pacs, labels: { Team: x } } ]",
        [
            (
                'imaging:stores[0].labels  "Team" is not a valid label key; write 1 to 63 lower-case letters, '
                "digits, - and _, starting with a letter"
            )
        ],
    ),
    "a_duration_in_weeks": (
        IMAGES % "timeout: 2w",
        ['imaging:exports[0].timeout  "2w" is no duration; write 6h, 90m, 1h30m or a number of seconds'],
    ),
    "public_readers": (
        "stores: [ { name: pacs, readers: [ allUsers ] } ]",
        [
            (
                'imaging:stores[0].readers[0]  "allUsers" would make medical images public; '
                "name a person, group or service account"
            )
        ],
    ),
    "a_member_without_kind": (
        "stores: [ { name: pacs, writers: [ alice@example.org ] } ]",
        [
            (
                'imaging:stores[0].writers[0]  "alice@example.org" has no kind of member; '
                "write user:alice@example.org or group:alice@example.org"
            )
        ],
    ),
    "a_topic_by_its_short_name": (
        "stores: [ { name: pacs, notifications: [ { topic: dicom } ] } ]",
        ['imaging:stores[0].notifications[0].topic  "dicom" is not a valid topic; write projects/PROJECT/topics/TOPIC'],
    ),
    "two_topics": (
        (
            "stores: [ { name: pacs, notifications: [ { topic: projects/p/topics/a }, { topic: "
            "projects/p/topics/b } ] } ]"
        ),
        [
            (
                "imaging:stores[0].notifications  2 topics; Pulumi's Google provider knows one per store. "
                "Let the topic's subscriptions spread the messages"
            )
        ],
    ),
    "six_streams": (
        "stores: [ {{ name: pacs, streams: [ {} ] }} ]".format(
            ", ".join(f"{{ table: bq://p-rojects.d.t{i} }}" for i in range(6))
        ),
        ["imaging:stores[0].streams  6 tables; a store streams to 5 at most"],
    ),
    "two_streams_to_one_table": (
        "stores: [ { name: pacs, streams: [ { table: bq://p-rojects.d.t }, { table: bq://p-rojects.d.t } ] } ]",
        [
            (
                'imaging:stores[0].streams[1].table  "bq://p-rojects.d.t" is already streamed to by '
                "imaging:stores[0].streams[0]"
            )
        ],
    ),
    "a_streaming_schema_that_pulumi_lacks": (
        "stores: [ { name: pacs, streams: [ { table: bq://p-rojects.d.t, schema: json } ] } ]",
        ['imaging:stores[0].streams[0].schema  "json" is not one of flattened'],
    ),
    "a_key_elsewhere": (
        "dataset: { name: radiology, kmsKey: projects/keys/locations/us/keyRings/r/cryptoKeys/k }",
        ["imaging:dataset.kmsKey  the key is in us and the dataset in europe-west4; they must be in the same location"],
    ),
    "a_key_elsewhere_than_the_multi_region": (
        "location: us\ndataset: { name: radiology, kmsKey: projects/keys/locations/europe/keyRings/r/cryptoKeys/k }",
        ["imaging:dataset.kmsKey  the key is in europe and the dataset in us; they must be in the same location"],
    ),
    "a_key_that_is_no_key": (
        "dataset: { name: radiology, kmsKey: k }",
        [
            (
                'imaging:dataset.kmsKey  "k" is not a valid key; write '
                "projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY"
            )
        ],
    ),
    "a_mistyped_time_zone": (
        "dataset: { name: radiology, timeZone: Europe/Berlim }",
        ['imaging:dataset.timeZone  "Europe/Berlim" is not a valid time zone; did you mean "Europe/Berlin"?'],
    ),
    "a_bucket_in_capitals": (
        "buckets: [ { name: Inbox } ]",
        [
            (
                'imaging:buckets[0].name  "Inbox" is no bucket name: 3 to 63 lower-case letters, digits, '
                "hyphens, underscores, "
                "dots; a letter or digit at both ends"
            )
        ],
    ),
    "a_bucket_as_uri": (
        "buckets: [ { name: gs://inbox/ } ]",
        ['imaging:buckets[0].name  "gs://inbox/" is a URI; write the bucket\'s name alone: "inbox"'],
    ),
    "a_bigquery_dataset_with_hyphen": (
        "bigquery: [ { name: my-dicom } ]",
        [
            (
                'imaging:bigquery[0].name  "my-dicom" is not a valid BigQuery dataset name; up to 1,024 '
                "letters, digits and underscores"
            )
        ],
    ),
    "two_stores_of_one_name": (
        "stores: [ { name: pacs }, { name: pacs } ]",
        ['imaging:stores[1].name  "pacs" is already the name of imaging:stores[0]'],
    ),
    "two_exports_into_one_table": (
        (
            "exports: [ { name: a, store: pacs, to: bq://p-rojects.d.t, writeDisposition: WRITE_TRUNCATE }, "
            "{ name: b, store: pacs, to: bq://p-rojects.d.t, writeDisposition: WRITE_TRUNCATE } ]"
        ),
        [
            (
                "imaging:exports[1].writeDisposition  imaging:exports[0] exports to the same table first, "
                "so WRITE_TRUNCATE "
                "would remove what that one wrote; write WRITE_APPEND, or another table"
            )
        ],
    ),
    "two_filters": (
        IMAGES % "filter: { query: SELECT 1, lines: [ /studies/1.2 ] }",
        ["imaging:exports[0].filter  query and lines given; write exactly one of query, file and lines"],
    ),
    "an_empty_filter": (
        IMAGES % "filter: { lines: [] }",
        ["imaging:exports[0].filter.lines  has no lines; remove the filter to export everything"],
    ),
    "an_adopted_store_with_labels": (
        "dataset: { name: radiology, existing: true }\nstores: [ { name: pacs, existing: true, labels: { a: b } } ]",
        ["imaging:stores[0].labels  would change something that exists already; remove it, or remove existing: true"],
    ),
    "an_adopted_store_in_a_new_dataset": (
        "stores: [ { name: pacs, existing: true } ]",
        ["imaging:stores[0].existing  a store can't exist already in a dataset that this stack creates"],
    ),
    "an_endpoint_with_https": (
        "endpoint: https://127.0.0.1:8085",
        [
            (
                'imaging:endpoint  "https://127.0.0.1:8085" is an https address, and the emulator speaks http; for a '
                "regional or private address of a Google API, set that API's own endpoint, such as "
                "gcp:healthcareCustomEndpoint or GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT"
            )
        ],
    ),
    "an_endpoint_on_another_machine": (
        "endpoint: http://emulator.example.org:8085",
        [
            (
                'imaging:endpoint  "http://emulator.example.org:8085" is not on this machine, and what is sent there '
                "is not encrypted; use the emulator's loopback address, or allow it with "
                "imaging:allowRemoteEndpoint: true in a stack, --allow-remote on the command line, or "
                "IMAGING_ALLOW_REMOTE=true"
            )
        ],
    ),
    "an_endpoint_with_a_path": (
        "endpoint: http://127.0.0.1:8085/v1",
        [
            (
                'imaging:endpoint  "http://127.0.0.1:8085/v1" is not a valid endpoint; write http://HOST:PORT, as '
                "the emulator prints it: http://127.0.0.1:8085"
            )
        ],
    ),
    "a_custom_role_by_title": (
        "roles: { publish: Publisher }",
        [
            (
                'imaging:roles.publish  "Publisher" is not a valid role; write roles/… or '
                "projects/PROJECT/roles/… or "
                "organizations/NUMBER/roles/…"
            )
        ],
    ),
}


def problems_of(text: str) -> list[str]:
    raw = {**yaml.safe_load(BASE), **yaml.safe_load(text)}
    with pytest.raises(SettingsError) as refused:
        settings_from(raw)
    return [f"{problem.key}  {problem.text}" for problem in refused.value.problems]


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_setting_is_refused_with_key_value_and_fix(case: str) -> None:
    text, expected = CASES[case]
    assert problems_of(text) == expected


def test_a_key_in_europe_may_encrypt_a_dataset_in_eu() -> None:
    key = "projects/keys/locations/europe/keyRings/r/cryptoKeys/k"
    raw = {**yaml.safe_load(BASE), "location": "eu", "dataset": {"name": "radiology", "kmsKey": key}}
    assert settings_from(raw).dataset.kms_key == key


def test_an_empty_configuration_names_everything_that_is_needed() -> None:
    with pytest.raises(SettingsError) as refused:
        settings_from({})
    assert [problem.key for problem in refused.value.problems] == [
        "gcp:project",
        "imaging:location",
        "imaging:dataset",
    ]


def test_all_problems_are_shown_at_once_and_aligned() -> None:
    raw = {
        **yaml.safe_load(BASE),
        "exports": [
            {"name": "a", "store": "pacs", "to": "bq://research-analytics.dicom", "writeDisposition": "WRITE_APPEND"},
            {
                "name": "b",
                "store": "pacs",
                "to": "gs://hospital-dicom-out/jpeg/",
                "mimeType": "image/png",
                "writeDisposition": "WRITE_EMPTY",
            },
        ],
    }
    with pytest.raises(SettingsError) as refused:
        settings_from(raw)
    assert str(refused.value).splitlines() == [
        "2 problems in the stack configuration",
        '  imaging:exports[0].to  "bq://research-analytics.dicom" names no table; write bq://PROJECT.DATASET.TABLE',
        (
            "  imaging:exports[1]     both mimeType and writeDisposition are set; "
            "writeDisposition is for bq:// destinations"
        ),
    ]


def test_a_malformed_field_hides_no_problem_elsewhere() -> None:
    keys = [
        line.split("  ")[0]
        for line in problems_of(
            "location: Moon\nstores: [ { name: pacs, labels: 3 } ]\n"
            "exports: [ { name: a, store: pax, to: bq://x.y, allowedFailures: many } ]"
        )
    ]
    assert keys == [
        "imaging:location",
        "imaging:stores[0].labels",
        "imaging:exports[0].allowedFailures",
        "imaging:exports[0].to",
        "imaging:exports[0].store",
        "imaging:exports[0].writeDisposition",
    ]


class TestLoadingFromTheStack:
    @pytest.fixture(autouse=True)
    def configuration(self) -> Iterator[None]:
        token = pulumi_config.CONFIG.set({})
        yield
        pulumi_config.CONFIG.reset(token)

    def load(self, **keys: str | None) -> Settings:
        values = {
            "gcp:project": "hospital-imaging",
            "imaging:location": "europe-west4",
            "imaging:dataset": '{"name":"radiology"}',
            **{key.replace("__", ":"): value for key, value in keys.items()},
        }
        pulumi_config.CONFIG.set({key: value for key, value in values.items() if value is not None})
        return load_settings()

    def test_lists_mappings_and_truth_values_are_decoded(self) -> None:
        settings = self.load(
            imaging__stores='[{"name":"pacs"}]',
            imaging__deletionProtection="false",
            imaging__permissionWait="90s",
            gcp__region="europe-west4",
            unrelated__key="x",
        )
        assert [store.name for store in settings.stores] == ["pacs"]
        assert settings.deletion_protection is False
        assert settings.permission_wait == 90

    def test_text_that_looks_like_a_number_stays_text(self) -> None:
        with pytest.raises(pulumi.RunError, match='imaging:location  "123" is not a valid location'):
            self.load(imaging__location="123")

    def test_an_unknown_key_of_the_namespace_is_refused(self) -> None:
        with pytest.raises(pulumi.RunError, match='imaging:store  is not a setting; did you mean "stores"'):
            self.load(imaging__store="[]")

    def test_a_list_that_is_no_json_is_refused_without_a_traceback(self) -> None:
        with pytest.raises(pulumi.RunError, match='imaging:stores  "pacs" is not a list'):
            self.load(imaging__stores="pacs")

    def test_an_empty_text_counts_as_unset(self) -> None:
        assert self.load(imaging__endpoint="").endpoint is None

    def test_a_missing_project_is_named_by_its_own_key(self) -> None:
        with pytest.raises(pulumi.RunError, match="1 problem in the stack configuration\n  gcp:project  is missing"):
            self.load(gcp__project=None)

    def test_the_project_in_the_wrong_namespace_is_refused(self) -> None:
        with pytest.raises(pulumi.RunError, match="imaging:project  is not a setting; it is gcp:project"):
            self.load(imaging__project="hospital-imaging")


class TestSecrets:
    """Pulumi hands an encrypted number, truth value, list or mapping to the program as text."""

    def load(self, *, encrypted: bool = True, **keys: str) -> Settings:
        needed = {
            "gcp:project": "hospital-imaging",
            "imaging:location": "europe-west4",
        }
        needed["imaging:dataset"] = '{"name":"radiology"}'
        given = {key.replace("__", ":"): value for key, value in keys.items()}
        configuration = pulumi_config.CONFIG.set({**needed, **given})
        secret = pulumi_config._SECRET_KEYS.set(set(given) if encrypted else set())
        try:
            return settings_from(*stack_configuration())
        finally:
            pulumi_config.CONFIG.reset(configuration)
            pulumi_config._SECRET_KEYS.reset(secret)

    @pytest.mark.parametrize(
        ("field", "written", "meant"),
        [
            ("allowedFailures", "3", 3),
            ("timeout", "90", 90.0),
            ("timeout", "6h", 21600.0),
            ("views", "true", True),
            ("formerly", '["images"]', ["images"]),
            ("trigger", "2024", "2024"),
            ("writeDisposition", "WRITE_EMPTY", "WRITE_EMPTY"),
        ],
    )
    def test_each_type_may_be_encrypted_inside_a_list(self, field: str, written: str, meant: object) -> None:
        export = {"name": "m", "store": "pacs", "to": "bq://p-rojects.d.t", "writeDisposition": "WRITE_APPEND"}
        settings = self.load(
            imaging__stores='[{"name":"pacs"}]', imaging__exports=json.dumps([{**export, field: written}])
        )
        names = {field.alias or name: name for name, field in type(settings.exports[0]).model_fields.items()}
        assert getattr(settings.exports[0], names[field]) == meant

    def test_a_whole_filter_and_its_lines_may_be_encrypted(self) -> None:
        export = {"name": "m", "store": "pacs", "to": "gs://out-bucket/x"}
        for chosen in ('{"lines": ["/studies/1.2"]}', {"lines": '["/studies/1.2"]'}):
            settings = self.load(
                imaging__stores='[{"name":"pacs"}]', imaging__exports=json.dumps([{**export, "filter": chosen}])
            )
            assert settings.exports[0].filter is not None
            assert settings.exports[0].filter.lines == ["/studies/1.2"]

    def test_a_bucket_s_settings_may_be_encrypted(self) -> None:
        bucket = {
            "name": "archive",
            "versioning": "true",
            "softDelete": "0",
            "retention": '{"for": "30d"}',
            "autoclass": "true",
            "lifecycle": [{"action": "delete", "afterDays": "0"}],
        }
        [made] = self.load(imaging__buckets=json.dumps([bucket])).buckets
        assert (made.versioning, made.soft_delete, made.autoclass) == (True, 0.0, True)
        assert made.retention is not None
        assert made.retention.for_ == 30 * 86400
        assert made.lifecycle[0].after_days == 0

    def test_a_secret_of_another_type_is_refused_as_everywhere(self) -> None:
        with pytest.raises(SettingsError, match=r'imaging:buckets\[0\].versioning  "maybe" is not true or false'):
            self.load(imaging__buckets='[{"name":"archive","versioning":"maybe"}]')

    def test_a_number_in_quotes_that_is_not_encrypted_stays_a_mistake(self) -> None:
        with pytest.raises(SettingsError, match='"3" is not a whole number'):
            self.load(
                encrypted=False,
                imaging__imports='[{"name":"i","store":"pacs","from":"gs://in-bucket/**","allowedFailures":"3"}]',
                imaging__stores='[{"name":"pacs"}]',
            )


class TestForeignNamespaces:
    @pytest.mark.parametrize(
        ("key", "meant"),
        [
            ("imagin:stores", "imaging:stores"),
            ("imaging-dev:exports", "imaging:exports"),
            ("Imaging:buckets", "imaging:buckets"),
            ("imagign:store", "imaging:stores"),
            ("imaging_prod:zzz", "imaging:…"),
            ("my-imaging:stores", "imaging:stores"),
            ("gpc:impersonateServiceAccount", "gcp:impersonateServiceAccount"),
            ("GCP:project", "gcp:project"),
            ("gcpp:healthcareCustomEndpoint", "gcp:healthcareCustomEndpoint"),
            ("cgp:userProjectOverride", "gcp:userProjectOverride"),
        ],
    )
    def test_a_namespace_that_is_nearly_ours_is_named_with_what_was_meant(self, key: str, meant: str) -> None:
        [warning] = foreign_namespaces([key, "imaging:stores", "gcp:project"])
        namespace = key.split(":", maxsplit=1)[0]
        assert (warning.key, warning.text) == (
            key,
            f'is not read, because the namespace is "{namespace}"; write {meant}',
        )

    @pytest.mark.parametrize(
        "key",
        [
            "gcp:project",
            "imaging:stores",
            "aws:region",
            "pulumi:tags",
            "images:x",
            "stores",
            "gcp-imaging-policy:rules",
            "gcp:impersonateServiceAcount",
            "gpc:rules",
            "google-native:project",
            "gke:zone",
        ],
    )
    def test_other_namespaces_are_left_alone(self, key: str) -> None:
        assert foreign_namespaces([key]) == []


def test_members_have_no_case_but_for_the_attributes_of_principals() -> None:
    # One member in two spellings is one grant: whichever is written, its resource has the same name.
    assert comparable_member("group:Radiology@Example.org") == "group:radiology@example.org"
    assert comparable_member("deleted:serviceAccount:Old@P.iam.gserviceaccount.com?uid=1") == (
        "deleted:serviceAccount:old@p.iam.gserviceaccount.com?uid=1"
    )
    subject = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/Anna"
    assert comparable_member(subject) == subject
