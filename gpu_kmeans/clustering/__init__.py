"""From rows to labels: k-means, its start, its stages, and distances to its centroids."""
