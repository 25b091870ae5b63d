"""From settings to a stack: what is declared, in which order, and what the stack puts out.

The order: APIs → service agent → keys' grants → dataset, BigQuery datasets, buckets, topics → all other grants →
stores → imports → exports → views.
"""

from collections.abc import Iterable
from typing import Any

import pulumi

from components.access.checks import Access
from components.access.grants import own_filter_bucket
from components.access.key_check import try_key
from components.access.preview import caller_of
from components.access.rules import On
from components.base.arguments import gone_with
from components.base.providers import Providers
from components.base.secrets import grants_kept_secret, kept_secret
from components.base.waiting import wait_at_most
from components.resources.bigquery_dataset import BigQueryDataset, BigQueryDatasetArgs
from components.resources.bucket import Bucket, BucketArgs, CorsRule, LifecycleRule
from components.resources.dicom_store import DicomStore, DicomStoreArgs
from components.resources.healthcare_dataset import HealthcareDataset, HealthcareDatasetArgs
from components.resources.reference_views import ReferenceViews, ReferenceViewsArgs
from components.resources.topic import Topic, TopicArgs
from components.runs.announced import announce
from components.runs.dicom_export import DicomExport, DicomExportArgs, ExportFilter
from components.runs.dicom_import import DicomImport, DicomImportArgs
from components.runs.outcomes import shown_outcome
from components.settings import (
    AutoclassSettings,
    BigQueryDatasetSettings,
    BucketSettings,
    ExportSettings,
    FilterSettings,
    ImportSettings,
    Settings,
    StoreSettings,
    TopicSettings,
)
from operations.model.requests import WriteDisposition
from operations.model.uris import parse_bigquery_uri, parse_export_prefix, parse_import_uri
from operations.run.ahead import DESTINATION, STORE

FILTER_FILES_KEPT_DAYS = 30


class Imaging:
    """Everything that the settings describe, declared."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._providers = Providers(settings)
        self._access = Access(settings, self._providers)
        caller = caller_of(settings, settings.project)
        wait_at_most(settings.permission_wait, lambda dataset: try_key(caller, dataset))

        self._access.grant(On.KEY, after={})
        self._dataset = self._declare_dataset()
        self._tables = {self._table_label(each): self._declare_tables(each) for each in settings.bigquery}
        self._buckets: dict[str, Bucket] = {}
        for bucket in log_buckets_first(self._buckets_needed()):
            self._buckets[bucket.name] = self._declare_bucket(bucket)
        self._topics = {f"{self._home(each)}.{each.name}": self._declare_topic(each) for each in settings.topics}
        dataset_label = f"{settings.project}.{settings.location}.{settings.dataset.name}"
        self._access.grant(On.PROJECT, after={})
        self._access.grant(On.BIGQUERY_DATASET, after={**self._tables})
        self._access.grant(On.BUCKET, after={**self._buckets})
        self._access.grant(On.TOPIC, after={**self._topics})
        self._access.grant(On.HEALTHCARE_DATASET, after={dataset_label: self._dataset})
        self._stores = {each.name: self._declare_store(each) for each in settings.stores}
        self._access.grant(
            On.DICOM_STORE, after={f"{dataset_label}.{name}": store for name, store in self._stores.items()}
        )
        self._imports = {each.name: self._declare_import(each) for each in settings.imports}
        self._exports: dict[str, DicomExport] = {}
        for export in settings.exports:
            self._exports[export.name] = self._declare_export(export)
        for table in dict.fromkeys(export.to for export in settings.exports if export.views):
            self._declare_views(table)
        announce((name, each.run) for runs in (self._imports, self._exports) for name, each in runs.items())

    @property
    def outputs(self) -> dict[str, Any]:
        """What the stack puts out: `serviceAgent, dataset, stores, imports, exports, access`."""
        return {
            "serviceAgent": self._access.service_agent,
            "dataset": self._dataset.dataset_id,
            "stores": {name: store.store_id for name, store in self._stores.items()},
            "imports": {name: shown_outcome(run.outcome) for name, run in self._imports.items()},
            "exports": {name: shown_outcome(run.outcome) for name, run in self._exports.items()},
            "access": self._access.entries,
        }

    def _home(self, thing: BigQueryDatasetSettings | BucketSettings | TopicSettings) -> str:
        return thing.project or self._settings.project

    def _options(
        self, project: str | None, user: str, after: Iterable[pulumi.Resource] = (), formerly: Iterable[str] = ()
    ) -> pulumi.ResourceOptions:
        """Return the options of a component: its project's provider, and everything that comes before it.

        Args:
            project: the project that holds the resource.
            user: the component as the grants know it; those it needs come before it.
            after: other resources that come before it.
            formerly: names it had before, so that a rename replaces nothing.
        """
        options = pulumi.ResourceOptions(
            provider=self._providers.for_project(project),
            depends_on=[*self._access.ready(project), *self._access.granted_to(user), *after],
            aliases=[pulumi.Alias(name=name) for name in formerly],
        )
        return kept_secret(options) if self._access.encrypted.user(user) else options

    # What holds data

    def _declare_dataset(self) -> HealthcareDataset:
        settings, dataset = self._settings, self._settings.dataset
        return HealthcareDataset(
            dataset.name,
            HealthcareDatasetArgs(
                name=dataset.name,
                project=settings.project,
                location=settings.location,
                time_zone=dataset.time_zone,
                kms_key=dataset.kms_key,
                deletion_protection=settings.deletion_protection,
                existing=dataset.existing,
            ),
            self._options(settings.project, "dataset"),
        )

    def _table_label(self, dataset: BigQueryDatasetSettings) -> str:
        return f"{self._home(dataset)}.{dataset.name}"

    def _declare_tables(self, dataset: BigQueryDatasetSettings) -> BigQueryDataset:
        project, label = self._home(dataset), self._table_label(dataset)
        options = self._options(project, f"bigquery/{label}")
        if self._access.grants_are_encrypted(On.BIGQUERY_DATASET, label):
            options = grants_kept_secret(options)
        return BigQueryDataset(
            label,
            BigQueryDatasetArgs(
                name=dataset.name,
                project=project,
                location=dataset.location or self._settings.location,
                description=dataset.description,
                labels={**dataset.labels} or None,
                kms_key=dataset.kms_key,
                title=dataset.title,
                default_table_expiration=dataset.default_table_expiration,
                partition_expiration=dataset.partition_expiration,
                time_travel_hours=round(dataset.time_travel / 3600) if dataset.time_travel is not None else None,
                billing=dataset.billing,
                tags={**dataset.tags} or None,
                deletion_protection=self._settings.deletion_protection,
                existing=dataset.existing,
            ),
            options,
        )

    def _buckets_needed(self) -> list[BucketSettings]:
        """Return the declared buckets, and the stack's own for filter files if an export needs one."""
        settings, own = self._settings, own_filter_bucket(self._settings)
        makes_filter_files = any(export.filter and not export.filter.file for export in settings.exports)
        if settings.filter_bucket or not makes_filter_files or any(each.name == own for each in settings.buckets):
            return settings.buckets
        return [*settings.buckets, BucketSettings(name=own)]

    def _declare_bucket(self, bucket: BucketSettings) -> Bucket:
        # The files in the stack's own bucket can be made again at any time, so nothing protects them.
        is_own = bucket.name == own_filter_bucket(self._settings) and bucket not in self._settings.buckets
        lifecycle = [LifecycleRule(**rule.model_dump()) for rule in bucket.lifecycle]
        if is_own:
            lifecycle = [LifecycleRule(after_days=FILTER_FILES_KEPT_DAYS, action="delete")]
        logs = self._buckets.get(bucket.access_logs.bucket) if bucket.access_logs else None
        return Bucket(
            bucket.name,
            BucketArgs(
                name=bucket.name,
                project=self._home(bucket),
                location=bucket.location or self._settings.location,
                labels={**bucket.labels} or None,
                kms_key=bucket.kms_key,
                storage_class=bucket.storage_class,
                versioning=bucket.versioning,
                soft_delete=bucket.soft_delete,
                retention=bucket.retention.for_ if bucket.retention else None,
                retention_locked=bucket.retention.locked if bucket.retention else None,
                event_based_hold=bucket.event_based_hold,
                autoclass=bucket.autoclass if isinstance(bucket.autoclass, bool | None) else True,
                terminal_storage_class=(
                    bucket.autoclass.terminal_storage_class if isinstance(bucket.autoclass, AutoclassSettings) else None
                ),
                regions=bucket.regions or None,
                turbo_replication=bucket.turbo_replication,
                access_log_bucket=bucket.access_logs.bucket if bucket.access_logs else None,
                access_log_prefix=bucket.access_logs.prefix if bucket.access_logs else None,
                cors=[CorsRule(**rule.model_dump()) for rule in bucket.cors] or None,
                lifecycle=lifecycle,
                deletion_protection=self._settings.deletion_protection and not is_own,
                existing=bucket.existing,
            ),
            self._options(self._home(bucket), f"buckets/{bucket.name}", [logs] if logs else []),
        )

    def _declare_topic(self, topic: TopicSettings) -> Topic:
        project = self._home(topic)
        return Topic(
            f"{project}.{topic.name}",
            TopicArgs(
                name=topic.name,
                project=project,
                labels={**topic.labels} or None,
                kms_key=topic.kms_key,
                regions=topic.regions or None,
                enforce_in_transit=topic.enforce_in_transit,
                retention=topic.retention,
                existing=topic.existing,
            ),
            self._options(project, f"topics/projects/{project}/topics/{topic.name}"),
        )

    def _declare_store(self, store: StoreSettings) -> DicomStore:
        notification = store.notifications[0] if store.notifications else None
        return DicomStore(
            store.name,
            DicomStoreArgs(
                name=store.name,
                dataset=self._dataset.dataset_id,
                labels={**store.labels} or None,
                notification_topic=notification.topic if notification else None,
                notify_bulk_imports=notification.bulk_imports if notification else None,
                stream_tables=[stream.table for stream in store.streams],
                deletion_protection=self._settings.deletion_protection,
                existing=store.existing,
            ),
            self._options(self._settings.project, f"stores/{store.name}"),
        )

    # Imports and exports

    def _declare_import(self, run: ImportSettings) -> DicomImport:
        settings = self._settings
        args = DicomImportArgs(
            store=self._stores[run.store].store_id,
            uri=run.from_,
            storage_class=run.storage_class,
            rerun=run.rerun,
            trigger=run.trigger,
            allowed_failures=run.allowed_failures,
            when_empty=run.when_empty,
            existing=self._existing(run),
            permission_wait=settings.permission_wait,
            service_agent=self._access.service_agent,
            endpoint=settings.endpoint,
            impersonate=self._providers.impersonated(settings.project),
            secret=self._access.encrypted.run(f"imports/{run.name}"),
        )
        if run.timeout is not None:
            args.timeout = run.timeout
        bucket = self._buckets.get(parse_import_uri(run.from_).bucket)
        after = [self._stores[run.store], *([bucket] if bucket else [])]
        return DicomImport(run.name, args, self._options(settings.project, f"imports/{run.name}", after, run.formerly))

    def _declare_export(self, run: ExportSettings) -> DicomExport:
        settings = self._settings
        args = DicomExportArgs(
            store=self._stores[run.store].store_id,
            destination=run.to,
            write_disposition=run.write_disposition,
            schema=run.schema_,
            include_source_store=bool(run.include_source_store),
            mime_type=run.mime_type,
            filter=self._filter(run.filter),
            filter_bucket=self._filter_bucket(run.filter),
            imports={
                each.name: self._imports[each.name].store_since for each in settings.imports if each.store == run.store
            },
            writers={
                each.name: self._exports[each.name].table_since
                for each in self._earlier_writers(run)
                if each.write_disposition != WriteDisposition.WRITE_APPEND
            }
            or None,
            rerun=run.rerun,
            trigger=run.trigger,
            allowed_failures=run.allowed_failures,
            when_empty=run.when_empty,
            existing=self._existing(run),
            permission_wait=settings.permission_wait,
            service_agent=self._access.service_agent,
            endpoint=settings.endpoint,
            impersonate=self._providers.impersonated(settings.project),
            secret=self._access.encrypted.run(f"exports/{run.name}"),
        )
        if run.timeout is not None:
            args.timeout = run.timeout
        return DicomExport(
            run.name,
            args,
            self._options(settings.project, f"exports/{run.name}", self._before_export(run), run.formerly),
        )

    def _before_export(self, run: ExportSettings) -> list[pulumi.Resource]:
        """Return what comes before an export: store, imports into it, destination, earlier writers."""
        before: list[pulumi.Resource] = [self._stores[run.store]]
        before += [self._imports[each.name] for each in self._settings.imports if each.store == run.store]
        if run.is_metadata:
            table = parse_bigquery_uri(run.to)
            destination: pulumi.Resource | None = self._tables.get(f"{table.project}.{table.dataset}")
            before += [self._exports[each.name] for each in self._earlier_writers(run)]
        else:
            destination = self._buckets.get(parse_export_prefix(run.to).bucket)
        if destination is not None:
            before.append(destination)
        return before

    def _earlier_writers(self, run: ExportSettings) -> list[ExportSettings]:
        """Return the exports to the same destination that are declared before this one."""
        return [each for each in self._settings.exports if each.to == run.to and each.name in self._exports]

    def _existing(self, run: ImportSettings | ExportSettings) -> list[str]:
        """Return what of a run's store and destination this stack doesn't create."""
        stores = {store.name for store in self._settings.stores if not store.existing}
        buckets = {bucket.name for bucket in self._settings.buckets if not bucket.existing}
        if isinstance(run, ImportSettings):
            made = parse_import_uri(run.from_).bucket in buckets
        elif run.is_metadata:
            table, declared = parse_bigquery_uri(run.to), self._settings.bigquery
            made = any(
                (self._home(dataset), dataset.name) == (table.project, table.dataset) and not dataset.existing
                for dataset in declared
            )
        else:
            made = parse_export_prefix(run.to).bucket in buckets
        return [*([] if run.store in stores else [STORE]), *([] if made else [DESTINATION])]

    def _filter(self, chosen: FilterSettings | None) -> ExportFilter | None:
        if chosen is None:
            return None
        return ExportFilter(
            lines=chosen.lines, file=chosen.file, query=chosen.query, query_project=self._settings.project
        )

    def _filter_bucket(self, chosen: FilterSettings | None) -> pulumi.Input[str] | None:
        if chosen is None or chosen.file:
            return None
        name = self._settings.filter_bucket or own_filter_bucket(self._settings)
        return self._buckets[name].name if name in self._buckets else name

    def _declare_views(self, uri: str) -> None:
        """Declare the views of a table, once whichever exports ask for them, under the table's name.

        Named after an export they would be made again under its next name while the old ones are still there.
        """
        table = parse_bigquery_uri(uri)
        writers = [export for export in self._settings.exports if export.to == uri]
        asking = [export for export in writers if export.views]
        options = self._options(
            table.project,
            f"views/{uri}",
            after=[self._exports[export.name] for export in writers],
            # Until views were named after tables they had the names of exports.
            formerly=[name for export in asking for name in (export.name, *export.formerly)],
        )
        options = pulumi.ResourceOptions.merge(options, gone_with(self._tables.get(f"{table.project}.{table.dataset}")))
        if any(self._access.encrypted.run(f"exports/{export.name}") for export in writers):
            options = kept_secret(options)
        ReferenceViews(
            f"{table.project}.{table.dataset}.{table.table}",
            ReferenceViewsArgs(table=uri, when_empty=_when_empty(writers)),
            options,
        )


def _when_empty(writers: list[ExportSettings]) -> str:
    """Return whether a table may be missing after the exports to it: only if each of them may be skipped."""
    return "skip" if all(export.when_empty == "skip" for export in writers) else "fail"


def log_buckets_first(buckets: list[BucketSettings]) -> list[BucketSettings]:
    """Return the buckets so that each comes after the one that its access logs go to; the rules allow no circle."""
    by_name = {bucket.name: bucket for bucket in buckets}
    placed: dict[str, BucketSettings] = {}

    def place(bucket: BucketSettings) -> None:
        if bucket.access_logs and bucket.access_logs.bucket in by_name:
            place(by_name[bucket.access_logs.bucket])
        placed.setdefault(bucket.name, bucket)

    for bucket in buckets:
        place(bucket)
    return list(placed.values())
