"""The error that is meant for the user."""


class UserError(Exception):
    """Something that the user can fix. The message says what was wrong, with the value, and what to do, in one line.

    Commands print it without a traceback and exit with status 2.
    """
