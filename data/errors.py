"""The one exception that a user may see."""


class UserError(Exception):
    """Something a user can get wrong and mend.

    Its message is one sentence that names the file or value and says the mend. The command prints it without
    a traceback; every other exception is a fault of the program and is loud.
    """
