"""Backends: their protocol, which there are, and which can run here."""
