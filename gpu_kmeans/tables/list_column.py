"""stub until the real one comes"""


def read_list_column(column, place):
    import numpy as np

    return np.array(column.to_pylist(), np.float32)
