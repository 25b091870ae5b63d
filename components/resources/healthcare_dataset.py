"""The Healthcare dataset: the container of DICOM stores, in one location, under one key."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.access.rules import RULES, MemberCondition, Use, each_member
from components.base.arguments import arguments, child
from components.base.waiting import awaiting, awaiting_key


@dataclass(kw_only=True)
class HealthcareDatasetArgs:
    """Arguments of `HealthcareDataset`."""

    name: pulumi.Input[str]
    """The dataset's id: 1 to 256 letters, digits, underscores, hyphens and dots."""
    project: pulumi.Input[str]
    """Project that holds the dataset."""
    location: pulumi.Input[str]
    """Location, such as `europe-west4`. It can't be changed later."""
    time_zone: pulumi.Input[str] | None = None
    """IANA time zone that dates without one are read in. UTC if unset."""
    kms_key: pulumi.Input[str] | None = None
    """Customer-managed key in the same location. The service agent must be able to use it before the dataset is
    created (pass that grant in `depends_on`). It can't be changed later."""
    deletion_protection: bool | None = None
    """Refuse to delete the dataset, which would delete all its stores and images. Defaults to true."""
    readers: list[str] | None = None
    """Members that may read and export the images of every store, as `group:…` or `user:…`."""
    editors: list[str] | None = None
    """Members that may also import, store and delete images."""
    admins: list[str] | None = None
    """Members that manage the dataset and its operations."""
    member_conditions: dict[str, MemberCondition] | None = None
    """Conditions of members' grants, by member; the others hold always."""
    existing: bool | None = None
    """The dataset exists already: it is granted on, and never created, changed or deleted."""


class HealthcareDataset(pulumi.ComponentResource):
    """A Healthcare dataset: https://cloud.google.com/healthcare-api/docs/datasets."""

    dataset_id: pulumi.Output[str]
    """Full name, `projects/…/locations/…/datasets/…`."""

    def __init__(self, name: str, args: HealthcareDatasetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("imaging:index:HealthcareDataset", name, {}, opts)
        args = arguments(HealthcareDatasetArgs, args)
        self.resource: gcp.healthcare.Dataset | None = None
        if args.existing:
            self.dataset_id = pulumi.Output.concat(
                "projects/", args.project, "/locations/", args.location, "/datasets/", args.name
            )
        else:
            self.resource = gcp.healthcare.Dataset(
                name,
                name=args.name,
                project=args.project,
                location=args.location,
                time_zone=args.time_zone,
                encryption_spec={"kms_key_name": args.kms_key} if args.kms_key is not None else None,
                opts=child(
                    self,
                    opts,
                    protect=None if args.deletion_protection is False else True,
                    hooks=awaiting() if args.kms_key is None else awaiting_key(),
                ),
            )
            self.dataset_id = self.resource.id
        uses = {Use.READ_IMAGES: args.readers, Use.EDIT_IMAGES: args.editors, Use.ADMINISTER_DATASET: args.admins}
        for use, member, condition in each_member(uses, args.member_conditions):
            gcp.healthcare.DatasetIamMember(
                f"{name}-{member}-{RULES[use].verb}{condition.suffix if condition else ''}",
                dataset_id=self.dataset_id,
                role=RULES[use].role,
                member=member,
                condition=condition.as_input if condition else None,
                opts=child(self, opts),
            )
        self.register_outputs({"datasetId": self.dataset_id})
