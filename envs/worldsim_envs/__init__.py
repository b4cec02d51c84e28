"""Scenario families, one file each. Importing the package registers them."""
