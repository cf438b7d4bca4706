"""The one exception that a command shows without a traceback."""


class UserError(ValueError):
    """Something that the person at the keyboard can mend: an option, a file, a folder.

    The message is one sentence that says what came, what was expected and what to do. Commands print it as
    ``error: ...`` on stderr and exit with status 2.
    """
