"""Rows as callers have them: arrays, sparse matrices, data frames, and what is none of these."""
