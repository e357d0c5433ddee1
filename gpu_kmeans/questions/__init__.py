"""Questions to a model, and to two of them: outliers, changes, what is new."""
