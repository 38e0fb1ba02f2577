def is_files(u):
    return "://" not in u or u.startswith("s3:")


def open_file_input(b, s):
    raise 1


def open_file_output(b):
    raise 1
