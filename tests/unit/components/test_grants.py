"""Which grants follow from which settings: exactly those that Google's permission pages ask for, each once."""

import re

import pytest

from components.access.grants import Grant, grants_for, own_filter_bucket
from components.access.rules import RULES, Agent, Use
from components.settings import Settings, settings_from
from components.settings.origin import Origin

HEALTHCARE = "agent"
ACTS = (HEALTHCARE, "roles/healthcare.serviceAgent", "hospital-imaging")


def settings(**more: object) -> Settings:
    return settings_from(
        {
            "project": "hospital-imaging",
            "location": "europe-west4",
            "dataset": {"name": "radiology"},
            "stores": [{"name": "pacs"}],
            **more,
        }
    )


def short(grant: Grant) -> tuple[str, str, str]:
    member = grant.member
    if isinstance(member, Agent):
        member = (
            HEALTHCARE if member == Agent("healthcare", "hospital-imaging") else f"{member.service} of {member.project}"
        )
    return member, grant.role, grant.target.label


def granted(**more: object) -> set[tuple[str, str, str]]:
    grants = grants_for(settings(**more))
    assert len({short(grant) for grant in grants}) == len(grants), "a grant twice"
    return {short(grant) for grant in grants}


def export(**more: object) -> dict[str, object]:
    return {
        "name": "metadata",
        "store": "pacs",
        "to": "bq://research-analytics.dicom.instances",
        "writeDisposition": "WRITE_TRUNCATE",
        **more,
    }


KEY = "projects/keys-project/locations/europe-west4/keyRings/imaging/cryptoKeys/images"
KEY_LABEL = "keys-project.europe-west4.imaging.images"
KEY_ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
DATASET = "hospital-imaging.europe-west4.radiology"


def test_nothing_is_granted_where_nothing_is_used() -> None:
    assert granted() == set()


def test_a_declared_bucket_or_dataset_alone_needs_no_grant() -> None:
    assert granted(buckets=[{"name": "inbox"}], bigquery=[{"name": "dicom"}]) == set()


def test_an_export_to_bigquery_needs_the_dataset_and_jobs_in_both_projects() -> None:
    assert granted(exports=[export()]) == {
        ACTS,
        (HEALTHCARE, "roles/bigquery.dataEditor", "research-analytics.dicom"),
        (HEALTHCARE, "roles/bigquery.jobUser", "research-analytics"),
        (HEALTHCARE, "roles/bigquery.jobUser", "hospital-imaging"),
    }


def test_an_export_within_one_project_needs_jobs_there_once() -> None:
    assert granted(exports=[export(to="bq://hospital-imaging.dicom.instances")]) == {
        ACTS,
        (HEALTHCARE, "roles/bigquery.dataEditor", "hospital-imaging.dicom"),
        (HEALTHCARE, "roles/bigquery.jobUser", "hospital-imaging"),
    }


def test_streaming_needs_the_dataset_only() -> None:
    stores = [{"name": "pacs", "streams": [{"table": "bq://research-analytics.stream.pacs"}]}]
    assert granted(stores=stores) == {
        ACTS,
        (HEALTHCARE, "roles/bigquery.dataEditor", "research-analytics.stream"),
    }


def test_an_export_of_images_needs_to_overwrite_objects() -> None:
    images = {"name": "images", "store": "pacs", "to": "gs://hospital-dicom-out/images/"}
    assert granted(exports=[images]) == {ACTS, (HEALTHCARE, "roles/storage.objectAdmin", "hospital-dicom-out")}


def test_an_import_needs_to_read_its_bucket() -> None:
    archive = {"name": "archive", "store": "pacs", "from": "gs://inbox/**.dcm"}
    assert granted(imports=[archive]) == {ACTS, (HEALTHCARE, "roles/storage.objectViewer", "inbox")}


def test_a_bucket_that_is_written_needs_no_second_grant_to_be_read() -> None:
    archive = {"name": "archive", "store": "pacs", "from": "gs://shared/in/**"}
    images = {"name": "images", "store": "pacs", "to": "gs://shared/out/"}
    (grant,) = [
        each for each in grants_for(settings(imports=[archive], exports=[images])) if each.target.name == "shared"
    ]
    assert grant.role == "roles/storage.objectAdmin"
    assert set(grant.needed_by) == {"imports/archive", "exports/images"}


@pytest.mark.parametrize(
    ("chosen", "more", "bucket"),
    [
        ({"file": "gs://filters/ours.txt"}, {}, "filters"),
        ({"lines": ["/studies/1.2.3"]}, {}, own_filter_bucket(settings())),
        ({"query": "SELECT 1"}, {"filterBucket": "our-filters"}, "our-filters"),
    ],
)
def test_a_filter_needs_its_file_to_be_read(chosen: object, more: dict[str, object], bucket: str) -> None:
    extra = granted(exports=[export(filter=chosen)], **more) - granted(exports=[export()])
    assert extra == {(HEALTHCARE, "roles/storage.objectViewer", bucket)}


def test_a_notification_needs_to_publish() -> None:
    stores = [{"name": "pacs", "notifications": [{"topic": "projects/messages/topics/dicom"}]}]
    assert granted(stores=stores) == {ACTS, (HEALTHCARE, "roles/pubsub.publisher", "messages.dicom")}


def test_a_dataset_key_needs_to_be_used_by_the_agent_of_the_stores_project() -> None:
    assert granted(dataset={"name": "radiology", "kmsKey": KEY}) == {ACTS, (HEALTHCARE, KEY_ROLE, KEY_LABEL)}


def test_other_keys_are_used_by_the_agents_of_those_services_in_the_projects_that_hold_the_data() -> None:
    assert granted(
        bigquery=[{"name": "dicom", "project": "research-analytics", "kmsKey": KEY}],
        buckets=[{"name": "inbox", "kmsKey": KEY}],
        topics=[{"name": "dicom", "project": "messages", "kmsKey": KEY}],
    ) == {
        ("bigquery of research-analytics", KEY_ROLE, KEY_LABEL),
        ("storage of hospital-imaging", KEY_ROLE, KEY_LABEL),
        ("pubsub of messages", KEY_ROLE, KEY_LABEL),
    }


def test_people_get_what_is_listed_and_no_more() -> None:
    assert granted(
        dataset={"name": "radiology", "admins": ["group:it@example.org"]},
        stores=[{"name": "pacs", "readers": ["group:r@example.org"], "writers": ["user:w@example.org"]}],
        bigquery=[{"name": "dicom", "readers": ["group:r@example.org"], "editors": ["user:e@example.org"]}],
    ) == {
        ("group:it@example.org", "roles/healthcare.datasetAdmin", DATASET),
        ("group:r@example.org", "roles/healthcare.dicomViewer", f"{DATASET}.pacs"),
        ("user:w@example.org", "roles/healthcare.dicomEditor", f"{DATASET}.pacs"),
        ("group:r@example.org", "roles/bigquery.dataViewer", "hospital-imaging.dicom"),
        ("user:e@example.org", "roles/bigquery.dataEditor", "hospital-imaging.dicom"),
    }


def test_two_exports_share_one_grant_that_names_both() -> None:
    both = [export(), export(name="again", to="bq://research-analytics.dicom.other")]
    (grant,) = [each for each in grants_for(settings(exports=both)) if each.target.label == "research-analytics.dicom"]
    assert grant.needed_by == ("exports/metadata", "exports/again")
    assert grant.reasons == ("export metadata writes instances", "export again writes other")


def test_a_grant_keeps_its_name_when_its_reasons_change() -> None:
    # Under a new name Pulumi makes the same grant once more and then deletes the old one: the grant would be gone.
    archive = {"name": "archive", "store": "pacs", "from": "gs://shared/**"}
    filtered = export(filter={"file": "gs://shared/filter.txt"})
    names = [
        {each.name for each in grants_for(settings(**more)) if each.target.name == "shared"}
        for more in (
            {"imports": [archive]},
            {"exports": [filtered]},
            {"imports": [archive], "exports": [filtered]},
        )
    ]
    assert names == [{"agent-reads-shared"}] * 3


def test_names_are_unique() -> None:
    everything = settings(
        exports=[export(), {"name": "images", "store": "pacs", "to": "gs://out/"}],
        imports=[{"name": "archive", "store": "pacs", "from": "gs://inbox/**"}],
        stores=[{"name": "pacs", "readers": ["user:a@example.org"], "writers": ["user:a@example.org"]}],
    )
    names = [(grant.target.on, grant.name) for grant in grants_for(everything)]
    assert len(set(names)) == len(names)


def test_custom_roles_replace_the_predefined_ones() -> None:
    custom = {"exportMetadata": "projects/research-analytics/roles/dicomWriter", "runJobs": "roles/bigquery.user"}
    assert granted(roles=custom, exports=[export()]) == {
        ACTS,
        (HEALTHCARE, "projects/research-analytics/roles/dicomWriter", "research-analytics.dicom"),
        (HEALTHCARE, "roles/bigquery.user", "research-analytics"),
        (HEALTHCARE, "roles/bigquery.user", "hospital-imaging"),
    }


def test_the_agents_address_holds_the_project_number() -> None:
    # https://cloud.google.com/iam/docs/service-agents
    assert Agent("healthcare", "p").email("4711") == "service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"
    assert Agent("storage", "p").email("4711") == "service-4711@gs-project-accounts.iam.gserviceaccount.com"
    assert Agent("bigquery", "p").email("4711") == "bq-4711@bigquery-encryption.iam.gserviceaccount.com"
    assert Agent("pubsub", "p").email("4711") == "service-4711@gcp-sa-pubsub.iam.gserviceaccount.com"


def test_uses_that_share_a_role_on_a_kind_of_resource_share_the_verb_of_the_name() -> None:
    verbs: dict[tuple[str, str], set[str]] = {}
    for rule in RULES.values():
        verbs.setdefault((rule.role, rule.on), set()).add(rule.verb)
    assert {key for key, used in verbs.items() if len(used) > 1} == set()


def test_every_rule_names_its_page() -> None:
    assert set(RULES) == set(Use)
    assert {use for use, rule in RULES.items() if not rule.page.startswith("https://cloud.google.com/")} == set()


# https://cloud.google.com/storage/docs/buckets#naming; dots would make it a domain that has to be one's own.
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@pytest.mark.parametrize(
    ("project", "stack"),
    [
        ("hospital-imaging", "organization/imaging/dev"),
        ("google.com:hospital", "acme/imaging/Google-Test"),
        ("p23456789012345678901234567890"[:30], "acme/imaging/" + "a.very_long-NAME" * 6),
        ("hospital-imaging", "acme/imaging/_"),
        ("hospital-imaging", ""),
    ],
)
def test_the_stacks_own_bucket_has_a_name_that_cloud_storage_takes(project: str, stack: str) -> None:
    name = own_filter_bucket(settings(project=project).of(Origin(stack)))
    assert BUCKET_NAME.fullmatch(name)
    assert not re.search(r"^goog|g[o0][o0]g[l1]e", name)


def test_the_stacks_own_bucket_says_whose_it_is() -> None:
    name = own_filter_bucket(settings().of(Origin("acme/imaging/Dev_2")))
    assert name.startswith("hospital-imaging-dev-2-")


def test_no_two_stacks_have_the_same_bucket_of_their_own() -> None:
    long = "a" * 60
    stacks = (
        "acme/imaging/dev",
        "acme/imaging/Dev",
        "acme/other/dev",
        f"acme/imaging/{long}1",
        f"acme/imaging/{long}2",
    )
    names = {
        own_filter_bucket(settings(project=project).of(Origin(stack)))
        for stack in stacks
        for project in ("hospital-a", "hospital-b")
    }
    assert len(names) == 2 * len(stacks)
