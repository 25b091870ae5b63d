"""What comes from encrypted settings, by the names that the grants know it by."""

from components.access.grants import Grant
from components.access.rules import RULES, On, Use
from components.settings import Settings
from components.settings.origin import FOR_EVERYTHING, Path
from components.settings.problems import key_of, path_of


class Encrypted:
    """Tells what has to be kept secret as it comes from encrypted settings, at least in part."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings with their origin."""
        self._origin = settings.origin
        self.project = settings.project
        """The stack's own project; it is no setting of this namespace, and never hidden."""
        self._everything = any(self._origin.is_encrypted(*path) for path in FOR_EVERYTHING)
        self._roles = self._origin.is_encrypted("roles")
        self._projects = self._origin.is_encrypted("projects")
        self._places: dict[str, Path] = {"dataset": ("dataset",)}
        for position, bucket in enumerate(settings.buckets):
            self._places[f"buckets/{bucket.name}"] = ("buckets", position)
        for position, dataset in enumerate(settings.bigquery):
            self._places[f"bigquery/{dataset.project or settings.project}.{dataset.name}"] = ("bigquery", position)
        for position, topic in enumerate(settings.topics):
            name = f"projects/{topic.project or settings.project}/topics/{topic.name}"
            self._places[f"topics/{name}"] = ("topics", position)
        for position, store in enumerate(settings.stores):
            self._places[f"stores/{store.name}"] = ("stores", position)
        for position, run in enumerate(settings.imports):
            self._places[f"imports/{run.name}"] = ("imports", position)
        for position, export in enumerate(settings.exports):
            self._places[f"exports/{export.name}"] = ("exports", position)

    def user(self, user: str) -> bool:
        """Return whether a user of grants, as in `Grant.needed_by`, comes from encrypted settings."""
        place = self._place(user)
        return self._everything or (bool(place) and self._origin.is_encrypted(*place))

    def run(self, user: str) -> bool:
        """Return whether an import or export does, or the account that it acts as."""
        return self.user(user) or self._projects

    def grant(self, grant: Grant) -> bool:
        """Return whether a grant does, for anybody who needs it."""
        return self._roles or any(self.user(user) for user in grant.needed_by)

    def role(self, grant: Grant) -> bool:
        """Return whether the role of a grant may be an encrypted custom one."""
        return self._roles and any(RULES[use].custom for use in grant.uses)

    def command(self, grant: Grant) -> bool:
        """Return whether member, role or resource of a grant are known from encrypted settings alone."""
        if Use.ACT_AS_AGENT in grant.uses:
            return False  # all of it follows from the stack's own project
        in_projects = self._projects and grant.target.on is On.BUCKET
        return self.role(grant) or in_projects or all(self.user(user) for user in grant.needed_by)

    def keys(self, grant: Grant) -> list[str]:
        """Return the configuration keys that a grant is needed for, which are no secret themselves."""
        keys = [key_of(place) for place in map(self._place, grant.needed_by) if place]
        return [*dict.fromkeys(keys), *(["imaging:roles"] if self.role(grant) else [])]

    def _place(self, user: str) -> Path:
        return self._places.get(user) or (path_of(user) if ":" in user else ())
