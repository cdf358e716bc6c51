"""What carries a message for the person at the keyboard."""


class CarvanaError(Exception):
    """Something the user can mend: bad data, a wrong setting, an unusable file.

    The message is one line that says what happened, to which file, and what to do next.
    """


class CarvanaWarning(UserWarning):
    """Something goes on, but most likely not as the user wants; one line like CarvanaError's."""
