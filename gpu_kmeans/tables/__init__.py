"""Table files, the same for every backend: which are read, which refused, and how.

:mod:`~gpu_kmeans.tables.table_file` recognises a file and how it is to be read:
:mod:`~gpu_kmeans.tables.kinds` recognises files that are no tables by their first bytes,
:mod:`~gpu_kmeans.tables.unpacking` opens gzip, :mod:`~gpu_kmeans.tables.encodings` makes other
encodings UTF-8 before anyone reads, and :mod:`~gpu_kmeans.tables.delimiters` looks for what
separates cells. :mod:`~gpu_kmeans.tables.files` chooses columns.
:mod:`~gpu_kmeans.tables.strict_csv` is the reader of record for CSV, and says where a file goes
wrong. :mod:`~gpu_kmeans.tables.fast_csv` finds the files that a library's fast reader cannot read
differently. :mod:`~gpu_kmeans.tables.host` calls the readers of all formats:
:mod:`~gpu_kmeans.tables.parquet`, :mod:`~gpu_kmeans.tables.json_lines` and
:mod:`~gpu_kmeans.tables.excel` beside CSV.

:mod:`~gpu_kmeans.tables.matrices` reads files whose rows are numbers and nothing else, each format
in a module of its own, all held to the same checks by :mod:`~gpu_kmeans.tables.matrix_file`.
:mod:`~gpu_kmeans.tables.list_column` makes such rows of a table's column of lists.
"""
