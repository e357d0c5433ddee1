"""K-means: rows to labels, its start, its stages, and distances to its centroids."""
