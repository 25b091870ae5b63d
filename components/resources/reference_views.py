"""The reference views beside a table of exported metadata.

They are made after the export, from the columns that the table has then: an export makes a column only for elements
that some instance has.
"""

import json
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.base.arguments import arguments, child, without_dependencies
from components.resources.reference_queries import VIEWS, load_query
from operations.model.uris import BigQueryTable, parse_bigquery_uri

# 3000-01-01. The API takes a time or nothing, and nothing is the dataset's default:
# https://cloud.google.com/bigquery/docs/managing-views#view-expiration
_NEVER_MS = 32_503_680_000_000


@dataclass(kw_only=True)
class ReferenceViewsArgs:
    """Arguments of `ReferenceViews`."""

    table: str
    """Table of a metadata export with the flattened schema, `bq://PROJECT.DATASET.TABLE`. Make the views depend on
    the export, so that the table is there."""

    when_empty: str = "fail"
    """`skip` where the export may be skipped for want of images: while there is no table, the views have no rows."""


class ReferenceViews(pulumi.ComponentResource):
    """Views over exported metadata, one for each file under `queries/views/`."""

    views: pulumi.Output[dict[str, str]]
    """Name of each view in BigQuery, `PROJECT.DATASET.VIEW`, by what it shows: `studies`, `series`, …"""

    def __init__(self, name: str, args: ReferenceViewsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("imaging:index:ReferenceViews", name, {}, opts)
        args = arguments(ReferenceViewsArgs, args)
        table = parse_bigquery_uri(args.table)
        columns = without_dependencies(self._columns(table, opts))

        def query(view: str) -> pulumi.Output[str]:
            def text(known: list[str] | None) -> str:
                return load_query(f"views/{view}", table, known, exists=known is not None or args.when_empty != "skip")

            return columns.apply(text)

        for view in VIEWS:
            gcp.bigquery.Table(
                # After the table, so that a component with another name has the same views.
                f"{table.project}.{table.dataset}.{table.table}-{view}",
                project=table.project,
                dataset_id=table.dataset,
                table_id=f"{table.table}_{view}",
                description=f"Reference view over {table.table}",
                view=gcp.bigquery.TableViewArgs(query=query(view), use_legacy_sql=False),
                # Else it would expire with the dataset's default for tables, which counts for views too.
                expiration_time=_NEVER_MS,
                # A view holds no data: it goes with the stack.
                deletion_protection=False,
                opts=child(self, opts, delete_before_replace=True, aliases=[pulumi.Alias(name=f"{name}-{view}")]),
            )
        self.views = pulumi.Output.from_input(
            {view: f"{table.project}.{table.dataset}.{table.table}_{view}" for view in VIEWS}
        )
        self.register_outputs({"views": self.views})

    def _columns(self, table: BigQueryTable, opts: pulumi.ResourceOptions | None) -> pulumi.Output[list[str] | None]:
        """Read the table's columns once the export is done; None if the table isn't there.

        A preview after somebody dropped the table must not fail: the next export makes it again.
        """

        def read(found: gcp.bigquery.GetTablesResult) -> pulumi.Output[list[str] | None]:
            if table.table not in {each.table_id for each in found.tables}:
                return pulumi.Output.from_input(None)
            known = gcp.bigquery.get_table_output(
                project=table.project,
                dataset_id=table.dataset,
                table_id=table.table,
                opts=pulumi.InvokeOutputOptions(parent=self),
            )
            return known.schema.apply(_column_names)

        return gcp.bigquery.get_tables_output(
            project=table.project,
            dataset_id=table.dataset,
            opts=pulumi.InvokeOutputOptions(parent=self, depends_on=opts.depends_on if opts else None),
        ).apply(read)


def _column_names(schema: str) -> list[str] | None:
    """Return the top-level column names of a table schema as BigQuery writes it, a JSON list of fields."""
    return [field["name"] for field in json.loads(schema or "[]")]
