"""The seam: what a backend is, which there are, and which can run here."""
