"""The service: an HTTP API over datasets, jobs and models, and the page at ``/``.

::

    server.py      start and stop: settings, the store's lock, signals, uvicorn
    http.py        the connection: slow and oversized headers, broken requests
    middleware.py  round every request: request id, root path, HEAD, headers, log, metrics
    request_checks.py  what is refused before a route looks: hosts, headers, parameters
    clients.py     who asks, and how much of the service each may have
    app.py         puts the routes together
    routes/        one module a subject; schemas.py states what they take and give
    job_requests.py  what is asked for as a job, held to its dataset
    jobs.py        the queue; each job is a process of its own
    work.py        such a process, from outside: its time and its memory; worker.py, from inside
    formats.py     what uploads may be: media types, first bytes, names of stored files
    limits.py      how much of them there may be, and what is said of more
    unpacked.py    what an upload holds once unpacked, counted before it is built; unpacked_*.py
                   do so for Parquet, zip archives (Excel, NumPy) and matrices
    reading.py     an upload read as a fit reads it, and what is said of it
    model_size.py  what a model takes in memory, likewise
    fit_checks.py  parameters of a fit, held to the data before it waits
    store.py       files, and registry.py, the SQLite tables that say which of them count
    registry_check.py  a look at these tables before they are used
    recover.py     makes them anew of what lies in the folder
    audit.py       who changed what, beside the data
    models.py      models in memory, ready to answer
    questions.py   questions to models that take a process, and the last answers; question_tasks.py
                   in that process, question_views.py and question_schemas.py as they are shown
    model_files.py lends the files of versions to processes, and keeps what these make
    worker_files.py  names of the files by which a process and the service hand each other things
    retention.py   which versions stay
    backup.py      all of it as one file; restore.py, a folder made of that
    cors.py        pages of other sites; rates.py, how often a client may ask
    version_report.py  what the registry says of a version
    searching.py   what is looked for, checked, and what is shown of what is found
    answers.py     tags of answers, gzip, the last answers again; conditional.py, routes that use it
    shown.py       the beginnings of texts that are shown
    settings.py    flags, environment, TOML, defaults
    keys.py        who may do what

The API process never imports a GPU library: fits, checks of uploads and questions that take long
run in worker.py.
"""
