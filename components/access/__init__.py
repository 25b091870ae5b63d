"""Who may do what: grant rules as data, the grants, checks of the deploying identity, grants made elsewhere."""
