"""Measurements of this package against its peers; not part of the wheel.

``python -m bench run`` asks every contestant the questions of :mod:`bench.questions` about the
cases of :mod:`bench.cases`, each in a fresh process, and appends one JSON line an answer;
``python -m bench report FILE ...`` makes a page and figures of them, and ``python -m bench compare
OLD NEW`` says what became faster, slower or better.

    cases       what is measured on, as data        corpora     where its rows come from
    contestants who takes part, a module a library  questions   what is asked, and how it is timed
    runner      who is asked when; the judge        process     a fresh process, and its limits
    worker      what runs in there                  targets     seconds to a target inertia
    store       rows laid out for the processes     measure     machine, medians, inertia
    records     one JSON line each                  report, figures, growth, compare
    agreement   clusters against labels             labelled    rows that have labels

``python -m bench.article MOVIES CREDITS`` does the job that the project began from, with pandas
and scikit-learn and with this package, pair by pair, and judges both. ``python -m
bench.pruning`` runs Lloyd's loop without what saves it work, and ``python -m bench.gpu_check``
is everything that only a GPU can show.
"""
