"""The exception for mistakes of users, which the command line prints in one line."""


class Mistake(ValueError):
    """A user's mistake. Its message is one line: the value, what was expected and the fix.

    Any other exception, a plain ValueError too, is a bug of ours and keeps its traceback.
    """
