"""What the rooms of components share: arguments, explicit providers, secrets."""
