"""Measurements of this package against its peers; not part of the wheel.

``python -m bench.article MOVIES CREDITS`` does the job that the project began from, with pandas
and scikit-learn and with this package, pair by pair, and judges both.
"""
