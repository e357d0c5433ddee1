"""The stages of a fit, one module each; :mod:`gpu_kmeans.pipeline` joins them."""
