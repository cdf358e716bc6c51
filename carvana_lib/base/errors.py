"""What carries a message for the person at the keyboard."""


class CarvanaError(Exception):
    """Something the user can mend: bad data, a wrong setting, an unusable file.

    The message is one line that says what happened, to which file, and what to do next.
    """


class CarvanaWarning(UserWarning):
    """The program goes on, but most likely not as the user wants; one line like CarvanaError's."""


def reason(error: BaseException) -> str:
    """The first line of another library's message, or the error's name where it has none."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
