"""Everything that only a GPU can show, as one command and one JSON file.

    python -m bench.gpu_check [--movies FILE --credits FILE] [--out FILE] [SECTION ...]

    smoke       half a minute: one kernel, one table, one fit of the library's, one of this package
    parity      both backends from the same draws: vocabulary, labels, inertia
    memory      running out of device memory: smaller blocks, then a clear error
    places      more than 2^31 places in the sums, where the card has room for them
    tmdb        from CSV to clusters, against cuDF + cuML alone on the same card
    tfidf       texts to weighted rows, against cuDF + cuML's vectoriser alone
    iteration   one sparse iteration at 63,000 x 79,000, k = 100 and 1000
    spmm        the same assignment by cuSPARSE: a product, and the largest of each row
    dense       cuML's fit of the same rows made dense, 20 GB, where that fits
    reduced     cuML's fit of the same rows in 100 numbers each, and this package's
    million     one million documents, 60 million non-zeros, k = 1000
    memcheck    the kernels' tests under compute-sanitizer, where that is installed
    racecheck   likewise, for races between the threads of a block
    contract    the tests that have a backend, on the GPU, a process a file; ``contract/test_verbs``
                is that of one file

Each section is a process of its own, held to a time of ten minutes at most, so that one that
crashes or hangs leaves the others standing; its figures are kept as they are made, and what it
prints is passed on as it comes. A section that fails is recorded with its reason, and with the
figures that it had until then. Without sections named, all run in this order, and none after a
smoke that failed. With sections named, the others' figures in ``--out`` stay as they are: on a
machine that reaches no registry, wheels are carried there, and sections run one by one.

Times are device-synchronised, warm, medians of the stated repeats.

    processes    a section's process: its end, its time, its figures
    checks       what must be right       measurements  what is timed
    contract     the project's tests      __main__      which sections there are, and the command
"""
