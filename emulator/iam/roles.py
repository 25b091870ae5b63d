"""Which permissions the predefined roles hold, as far as the served APIs ask for them.

Cloud Healthcare roles: https://cloud.google.com/healthcare-api/docs/access-control (2026-04-14). BigQuery, Cloud
Storage, Pub/Sub, Cloud KMS: the access-control page of each product, reduced to the permissions that are checked here.
A name ending in ``*`` stands for every permission that starts with the text before it.
"""

from __future__ import annotations

_DATASET_READ = ("healthcare.datasets.get", "healthcare.datasets.list", "healthcare.operations.get")
_STORE_READ = ("healthcare.dicomStores.get", "healthcare.dicomStores.list", "healthcare.operations.get")

_BIGQUERY_READ = (
    "bigquery.datasets.get",
    "bigquery.datasets.getIamPolicy",
    "bigquery.models.getData",
    "bigquery.models.getMetadata",
    "bigquery.models.list",
    "bigquery.routines.get",
    "bigquery.routines.list",
    "bigquery.tables.createSnapshot",
    "bigquery.tables.export",
    "bigquery.tables.get",
    "bigquery.tables.getData",
    "bigquery.tables.list",
    "resourcemanager.projects.get",
)
_BIGQUERY_EDIT = (
    *_BIGQUERY_READ,
    "bigquery.datasets.create",
    "bigquery.models.*",
    "bigquery.routines.*",
    "bigquery.tables.create",
    "bigquery.tables.delete",
    "bigquery.tables.update",
    "bigquery.tables.updateData",
)
_OBJECT_READ = (
    "storage.objects.get",
    "storage.objects.list",
    "storage.managedFolders.list",
    "resourcemanager.projects.get",
)
_OBJECT_ADMIN = ("storage.objects.*", "storage.multipartUploads.*", "resourcemanager.projects.get")
_PROJECT_READ = ("resourcemanager.projects.get", "resourcemanager.projects.list")

#: Everything a viewer of a project may do, by prefix or whole name; editors and owners may do more.
_VIEW = (
    *_PROJECT_READ,
    *_DATASET_READ,
    *_STORE_READ,
    "healthcare.operations.list",
    "healthcare.dicomStores.getIamPolicy",
    "healthcare.datasets.getIamPolicy",
    "healthcare.dicomStores.dicomWebRead",
    "healthcare.locations.*",
    *_BIGQUERY_READ,
    "bigquery.jobs.get",
    "bigquery.jobs.list",
    "storage.buckets.list",
    "pubsub.topics.get",
    "pubsub.topics.list",
    "pubsub.subscriptions.get",
    "pubsub.subscriptions.list",
    "cloudkms.keyRings.get",
    "cloudkms.keyRings.list",
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeys.list",
    "storage.managedFolders.list",
    "cloudkms.cryptoKeyVersions.get",
    "cloudkms.cryptoKeyVersions.list",
    "iam.roles.get",
    "iam.roles.list",
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.list",
    "logging.logEntries.list",
    "logging.logs.list",
    "resourcemanager.projects.getIamPolicy",
    "serviceusage.services.get",
    "serviceusage.services.list",
)
_EDIT = (
    *_VIEW,
    "healthcare.datasets.create",
    "healthcare.datasets.update",
    "healthcare.datasets.delete",
    "healthcare.dicomStores.create",
    "healthcare.dicomStores.update",
    "healthcare.dicomStores.delete",
    "healthcare.dicomStores.export",
    "healthcare.dicomStores.import",
    "healthcare.dicomStores.dicomWeb*",
    "healthcare.operations.*",
    *_BIGQUERY_EDIT,
    "bigquery.jobs.*",
    "storage.buckets.create",
    "storage.buckets.delete",
    "pubsub.topics.create",
    "pubsub.topics.update",
    "pubsub.topics.delete",
    "pubsub.topics.publish",
    "pubsub.subscriptions.*",
    "cloudkms.keyRings.create",
    "cloudkms.cryptoKeys.create",
    "cloudkms.cryptoKeys.update",
    "iam.serviceAccounts.create",
    "iam.serviceAccounts.delete",
    "iam.serviceAccounts.update",
    "logging.logEntries.create",
    "logging.logs.delete",
    "serviceusage.services.enable",
    "serviceusage.services.disable",
)

ROLES: dict[str, tuple[str, ...]] = {
    "roles/owner": ("*",),
    "roles/editor": _EDIT,
    "roles/viewer": _VIEW,
    "roles/healthcare.datasetAdmin": ("healthcare.datasets.*", "healthcare.operations.*", *_PROJECT_READ),
    "roles/healthcare.datasetViewer": (*_DATASET_READ, *_PROJECT_READ),
    "roles/healthcare.dicomStoreAdmin": (
        *_STORE_READ,
        "healthcare.dicomStores.create",
        "healthcare.dicomStores.deidentify",
        "healthcare.dicomStores.delete",
        "healthcare.dicomStores.dicomWebDelete",
        "healthcare.dicomStores.getIamPolicy",
        "healthcare.dicomStores.setIamPolicy",
        "healthcare.dicomStores.update",
        "healthcare.datasets.get",
        "healthcare.datasets.list",
        "healthcare.operations.cancel",
        *_PROJECT_READ,
    ),
    "roles/healthcare.dicomStoreViewer": (
        *_STORE_READ,
        "healthcare.datasets.get",
        "healthcare.datasets.list",
        *_PROJECT_READ,
    ),
    "roles/healthcare.dicomViewer": (
        *_STORE_READ,
        "healthcare.datasets.get",
        "healthcare.datasets.list",
        "healthcare.dicomStores.dicomWebRead",
        "healthcare.dicomStores.export",
        *_PROJECT_READ,
    ),
    "roles/healthcare.dicomEditor": (
        *_STORE_READ,
        "healthcare.datasets.get",
        "healthcare.datasets.list",
        "healthcare.dicomStores.dicomWebDelete",
        "healthcare.dicomStores.dicomWebRead",
        "healthcare.dicomStores.dicomWebUpdate",
        "healthcare.dicomStores.dicomWebWrite",
        "healthcare.dicomStores.export",
        "healthcare.dicomStores.import",
        "healthcare.operations.cancel",
        *_PROJECT_READ,
    ),
    # Alone it gives no access to buckets or BigQuery datasets ("Managing permissions between the Cloud Healthcare API
    # and other Google Cloud products"). Google's role holds pubsub.topics.publish too, on the agent's own project; that
    # page asks for roles/pubsub.publisher all the same, and a stack that does without should not pass here unnoticed.
    "roles/healthcare.serviceAgent": (*_PROJECT_READ, "pubsub.topics.attachSubscription"),
    "roles/bigquery.admin": ("bigquery.*", *_PROJECT_READ),
    "roles/bigquery.dataOwner": ("bigquery.datasets.*", *_BIGQUERY_EDIT, "bigquery.tables.*"),
    "roles/bigquery.dataEditor": _BIGQUERY_EDIT,
    "roles/bigquery.dataViewer": _BIGQUERY_READ,
    "roles/bigquery.metadataViewer": ("bigquery.datasets.get", "bigquery.tables.get", "bigquery.tables.list"),
    "roles/bigquery.jobUser": ("bigquery.jobs.create", "bigquery.config.get", *_PROJECT_READ),
    "roles/bigquery.user": (
        "bigquery.jobs.create",
        "bigquery.jobs.list",
        "bigquery.datasets.create",
        "bigquery.datasets.get",
        "bigquery.tables.list",
        *_PROJECT_READ,
    ),
    "roles/storage.admin": ("storage.*", *_PROJECT_READ),
    "roles/storage.objectAdmin": _OBJECT_ADMIN,
    "roles/storage.objectUser": (
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.get",
        "storage.objects.list",
        "storage.objects.update",
        "storage.multipartUploads.*",
        *_PROJECT_READ,
    ),
    "roles/storage.objectCreator": (
        "storage.objects.create",
        "storage.multipartUploads.create",
        *_PROJECT_READ,
    ),
    "roles/storage.objectViewer": _OBJECT_READ,
    "roles/storage.legacyBucketOwner": (
        "storage.buckets.get",
        "storage.buckets.getIamPolicy",
        "storage.buckets.setIamPolicy",
        "storage.buckets.update",
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.list",
    ),
    "roles/storage.legacyBucketReader": ("storage.buckets.get", "storage.objects.list"),
    "roles/storage.legacyBucketWriter": (
        "storage.buckets.get",
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.list",
    ),
    "roles/storage.legacyObjectReader": ("storage.objects.get",),
    "roles/storage.legacyObjectOwner": (
        "storage.objects.get",
        "storage.objects.update",
        "storage.objects.*IamPolicy",
    ),
    "roles/pubsub.admin": ("pubsub.*", *_PROJECT_READ),
    "roles/pubsub.editor": ("pubsub.topics.*", "pubsub.subscriptions.*", *_PROJECT_READ),
    "roles/pubsub.publisher": ("pubsub.topics.publish",),
    "roles/pubsub.subscriber": ("pubsub.subscriptions.consume", "pubsub.topics.attachSubscription"),
    "roles/pubsub.viewer": (
        "pubsub.topics.get",
        "pubsub.topics.list",
        "pubsub.subscriptions.get",
        "pubsub.subscriptions.list",
    ),
    "roles/cloudkms.admin": ("cloudkms.keyRings.*", "cloudkms.cryptoKeys.*", "cloudkms.cryptoKeyVersions.*"),
    "roles/cloudkms.cryptoKeyEncrypterDecrypter": (
        "cloudkms.cryptoKeyVersions.useToDecrypt",
        "cloudkms.cryptoKeyVersions.useToEncrypt",
    ),
    "roles/cloudkms.viewer": (
        "cloudkms.keyRings.get",
        "cloudkms.keyRings.list",
        "cloudkms.cryptoKeys.get",
        "cloudkms.cryptoKeys.list",
    ),
    "roles/iam.roleAdmin": ("iam.roles.*", *_PROJECT_READ),
    "roles/iam.serviceAccountAdmin": ("iam.serviceAccounts.*", *_PROJECT_READ),
    "roles/logging.admin": ("logging.*", *_PROJECT_READ),
    "roles/logging.logWriter": ("logging.logEntries.create",),
    "roles/logging.viewer": ("logging.logEntries.list", "logging.logs.list"),
    "roles/resourcemanager.projectIamAdmin": (
        "resourcemanager.projects.get",
        "resourcemanager.projects.getIamPolicy",
        "resourcemanager.projects.setIamPolicy",
    ),
    "roles/serviceusage.serviceUsageAdmin": ("serviceusage.*",),
    "roles/serviceusage.serviceUsageConsumer": (
        "serviceusage.services.use",
        "serviceusage.services.get",
        "serviceusage.services.list",
    ),
    "roles/browser": (
        "resourcemanager.projects.get",
        "resourcemanager.projects.list",
        "resourcemanager.projects.getIamPolicy",
    ),
}


#: Permissions that calls are checked for, and that the roles above name by pattern only.
_BY_PATTERN = (
    "bigquery.datasets.delete",
    "bigquery.datasets.update",
    "bigquery.jobs.delete",
    "bigquery.tables.getIamPolicy",
    "bigquery.tables.setIamPolicy",
    "cloudkms.cryptoKeyVersions.create",
    "cloudkms.cryptoKeyVersions.destroy",
    "cloudkms.cryptoKeyVersions.restore",
    "cloudkms.cryptoKeyVersions.update",
    "cloudkms.cryptoKeys.getIamPolicy",
    "cloudkms.cryptoKeys.setIamPolicy",
    "cloudkms.keyRings.getIamPolicy",
    "cloudkms.keyRings.setIamPolicy",
    "healthcare.datasets.setIamPolicy",
    "healthcare.locations.get",
    "healthcare.locations.list",
    "iam.roles.create",
    "iam.roles.delete",
    "iam.roles.undelete",
    "iam.roles.update",
    "iam.serviceAccounts.getIamPolicy",
    "iam.serviceAccounts.setIamPolicy",
    "pubsub.subscriptions.create",
    "pubsub.subscriptions.delete",
    "pubsub.subscriptions.getIamPolicy",
    "pubsub.subscriptions.setIamPolicy",
    "pubsub.subscriptions.update",
    "pubsub.topics.getIamPolicy",
    "pubsub.topics.setIamPolicy",
    "storage.objects.move",
)
#: Every permission that is known here.
PERMISSIONS = frozenset({*_BY_PATTERN, *(name for held in ROLES.values() for name in held if "*" not in name)})


def permissions_of(role: str) -> list[str]:
    """The known permissions of a predefined role, sorted; none for a role that is not listed here."""
    return sorted(permission for permission in PERMISSIONS if holds(role, permission))


def holds(role: str, permission: str) -> bool:
    """Whether the predefined role holds the permission; False for a role that is not listed here."""
    for pattern in ROLES.get(role, ()):
        if pattern == permission or pattern == "*":
            return True
        if pattern.endswith("*") and permission.startswith(pattern[:-1]):
            return True
    return False
