"""Stand-in for `pulumi-resource-gcp`: a table of resource types over the REST calls that the official plugin makes.

It maps what this project's components use and says so of everything else. Types, property names, defaults and ids are
those of the pulumi_gcp package; requests are those of the Terraform provider that the official plugin is built on.
"""
