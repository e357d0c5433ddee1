def is_matrix(path):
    return False


def read_matrix(path):
    raise NotImplementedError
