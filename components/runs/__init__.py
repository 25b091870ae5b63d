"""Imports and exports as components, and the pair of resources that each declares."""
