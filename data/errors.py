"""The one exception that a user may see."""


class Mistake(Exception):  # noqa: N818 - it is the user's mistake, not the program's error
    """Something a user can get wrong and mend.

    Its message is one sentence that names the file or value and says the mend. The command prints it without
    a traceback; every other exception is a fault of the program and is loud.
    """
