"""The one exception that a user may see."""

from typing import ClassVar


class UserError(Exception):
    """Something a user can get wrong and mend.

    Its message is one sentence that names the file or value and says the mend. The command prints it without
    a traceback; every other exception is a fault of the program and is loud.

    Attributes:
        exit_code: what the command then ends with.
    """

    exit_code: ClassVar[int] = 2
