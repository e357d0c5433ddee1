"""What a table file is, the same for every backend: which files are read, which refused, and how.

:mod:`~gpu_kmeans.tables.files` tells kinds of file apart and chooses columns;
:mod:`~gpu_kmeans.tables.kinds` names what is no table by its first bytes, and
:mod:`~gpu_kmeans.tables.encodings` makes other encodings UTF-8 before anyone reads.
:mod:`~gpu_kmeans.tables.strict_csv` is the reader of record for CSV, and finds the words
where a file goes wrong. :mod:`~gpu_kmeans.tables.fast_csv` says which files a library's
fast reader cannot read differently. :mod:`~gpu_kmeans.tables.parquet` reads Parquet.
"""
