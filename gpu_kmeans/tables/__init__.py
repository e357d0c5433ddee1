"""What a table file is, the same for every backend: which files are read, which refused, and how.

:mod:`~gpu_kmeans.tables.table_file` finds out what a file is and how it is to be read:
:mod:`~gpu_kmeans.tables.kinds` names what is no table by its first bytes,
:mod:`~gpu_kmeans.tables.unpacking` opens gzip, :mod:`~gpu_kmeans.tables.encodings` makes other
encodings UTF-8 before anyone reads, and :mod:`~gpu_kmeans.tables.delimiters` looks for what
separates cells. :mod:`~gpu_kmeans.tables.files` chooses columns.
:mod:`~gpu_kmeans.tables.strict_csv` is the reader of record for CSV, and finds the words
where a file goes wrong. :mod:`~gpu_kmeans.tables.fast_csv` says which files a library's
fast reader cannot read differently. :mod:`~gpu_kmeans.tables.host` leads to the readers of
all formats: :mod:`~gpu_kmeans.tables.parquet`, :mod:`~gpu_kmeans.tables.json_lines` and
:mod:`~gpu_kmeans.tables.excel` beside CSV.

:mod:`~gpu_kmeans.tables.matrices` reads files whose rows are numbers and nothing else, each format
in a module of its own, all held to the same checks by :mod:`~gpu_kmeans.tables.matrix_file`.
:mod:`~gpu_kmeans.tables.list_column` makes such rows of a table's column of lists.
"""
