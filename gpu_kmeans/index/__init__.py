"""An index over the fields of a model's items: words, where they stand, and what filters keep.

It is made of the model in memory, and never the only copy of anything. The searcher that asks it is
:class:`gpu_kmeans.search.Searcher`.

==================== =========================================================================
:mod:`.words`        texts to words: case and accents folded, scripts without spaces by letter
:mod:`.fields`       which columns are searched, and what each counts
:mod:`.postings`     items and positions of every word, on NumPy arrays
:mod:`.vocabulary`   words that begin as one does, or are one typing error away
:mod:`.query`        a query's words and phrases
:mod:`.matching`     items that match a query, and their scores
:mod:`.filters`      conditions on columns
:mod:`.results`      what is found, and :mod:`.explanations`: why
:mod:`.likeness`     items like some and unlike others
==================== =========================================================================
"""
