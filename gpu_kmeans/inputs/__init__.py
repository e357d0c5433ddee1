"""Rows as callers have them: arrays, sparse matrices, data frames, and other objects, refused."""
