"""Which permissions the predefined roles hold, as far as the served APIs ask for them.

Cloud Healthcare roles: https://cloud.google.com/healthcare-api/docs/access-control (2026-04-14). BigQuery, Cloud
Storage, Pub/Sub, Cloud KMS: the access-control page of each product, and what Google's IAM API says of the roles as
https://github.com/iann0036/iam-dataset publishes it; reduced to the permissions that are checked here.
A name ending in ``*`` stands for every permission that starts with the text before it.
"""

from __future__ import annotations

_PROJECT_READ = ("resourcemanager.projects.get", "resourcemanager.projects.list")
_LOCATIONS = ("healthcare.locations.get", "healthcare.locations.list")
_DATASET_READ = ("healthcare.datasets.get", "healthcare.datasets.list", "healthcare.operations.get", *_LOCATIONS)
_STORE_READ = ("healthcare.dicomStores.get", "healthcare.dicomStores.list", "healthcare.operations.get", *_LOCATIONS)

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
    "bigquery.tables.getIamPolicy",
    "bigquery.tables.list",
    *_PROJECT_READ,
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
_OBJECT_READ = ("storage.objects.get", "storage.objects.list", "storage.managedFolders.list", *_PROJECT_READ)
_OBJECT_ADMIN = ("storage.objects.*", "storage.multipartUploads.*", "storage.managedFolders.list", *_PROJECT_READ)
_PUBSUB_READ = (
    "pubsub.topics.get",
    "pubsub.topics.list",
    "pubsub.subscriptions.get",
    "pubsub.subscriptions.list",
    "resourcemanager.projects.get",
    "serviceusage.services.get",
    "serviceusage.services.list",
)
_KMS_READ = (
    "cloudkms.keyRings.get",
    "cloudkms.keyRings.list",
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeys.list",
    "cloudkms.cryptoKeyVersions.get",
    "cloudkms.cryptoKeyVersions.list",
    "resourcemanager.projects.get",
)

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
    "iam.serviceAccounts.disable",
    "iam.serviceAccounts.enable",
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
    "roles/healthcare.datasetAdmin": (
        "healthcare.datasets.*",
        "healthcare.operations.*",
        *_LOCATIONS,
        *_PROJECT_READ,
    ),
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
    "roles/bigquery.metadataViewer": (
        "bigquery.datasets.get",
        "bigquery.datasets.getIamPolicy",
        "bigquery.models.getMetadata",
        "bigquery.models.list",
        "bigquery.routines.get",
        "bigquery.routines.list",
        "bigquery.tables.get",
        "bigquery.tables.getIamPolicy",
        "bigquery.tables.list",
        *_PROJECT_READ,
    ),
    "roles/bigquery.jobUser": ("bigquery.jobs.create", "bigquery.config.get", *_PROJECT_READ),
    "roles/bigquery.user": (
        "bigquery.jobs.create",
        "bigquery.jobs.list",
        "bigquery.datasets.create",
        "bigquery.datasets.get",
        "bigquery.datasets.getIamPolicy",
        "bigquery.models.list",
        "bigquery.routines.list",
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
        "storage.objects.move",
        "storage.objects.update",
        "storage.managedFolders.list",
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
        "storage.managedFolders.list",
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
    # Who edits topics may not say who else does: no getIamPolicy, no setIamPolicy.
    "roles/pubsub.editor": (
        *_PUBSUB_READ,
        "pubsub.topics.attachSubscription",
        "pubsub.topics.create",
        "pubsub.topics.delete",
        "pubsub.topics.publish",
        "pubsub.topics.update",
        "pubsub.subscriptions.consume",
        "pubsub.subscriptions.create",
        "pubsub.subscriptions.delete",
        "pubsub.subscriptions.update",
    ),
    "roles/pubsub.publisher": ("pubsub.topics.publish",),
    "roles/pubsub.subscriber": ("pubsub.subscriptions.consume", "pubsub.topics.attachSubscription"),
    "roles/pubsub.viewer": _PUBSUB_READ,
    # Who administers keys may not use them.
    "roles/cloudkms.admin": (
        *_KMS_READ,
        "cloudkms.keyRings.*",
        "cloudkms.cryptoKeys.*",
        "cloudkms.cryptoKeyVersions.create",
        "cloudkms.cryptoKeyVersions.destroy",
        "cloudkms.cryptoKeyVersions.restore",
        "cloudkms.cryptoKeyVersions.update",
    ),
    "roles/cloudkms.cryptoKeyEncrypterDecrypter": (
        "cloudkms.cryptoKeyVersions.useToDecrypt",
        "cloudkms.cryptoKeyVersions.useToEncrypt",
        "resourcemanager.projects.get",
    ),
    "roles/cloudkms.viewer": _KMS_READ,
    "roles/iam.roleAdmin": ("iam.roles.*", *_PROJECT_READ),
    "roles/iam.serviceAccountAdmin": ("iam.serviceAccounts.*", *_PROJECT_READ),
    "roles/logging.admin": ("logging.*", *_PROJECT_READ),
    "roles/logging.logWriter": ("logging.logEntries.create",),
    "roles/logging.viewer": ("logging.logEntries.list", "logging.logs.list", "resourcemanager.projects.get"),
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
    "bigquery.tables.setIamPolicy",
    "cloudkms.cryptoKeys.getIamPolicy",
    "cloudkms.cryptoKeys.setIamPolicy",
    "cloudkms.keyRings.getIamPolicy",
    "cloudkms.keyRings.setIamPolicy",
    "healthcare.datasets.setIamPolicy",
    "iam.roles.create",
    "iam.roles.delete",
    "iam.roles.undelete",
    "iam.roles.update",
    "iam.serviceAccounts.getIamPolicy",
    "iam.serviceAccounts.setIamPolicy",
    "pubsub.subscriptions.getIamPolicy",
    "pubsub.subscriptions.setIamPolicy",
    "pubsub.topics.getIamPolicy",
    "pubsub.topics.setIamPolicy",
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
