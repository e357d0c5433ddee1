"""Features: texts, the terms in them and their weights; rows of fewer features."""
