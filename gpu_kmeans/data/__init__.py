"""From columns to a checked catalogue: roles, joins, lists in cells, and data to try it on."""
