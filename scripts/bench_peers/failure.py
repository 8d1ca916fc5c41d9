"""What can go wrong with a program, in one line."""


class Failure(Exception):
    """Something did not work; the message says what."""


class Misuse(Failure):
    """What was asked for cannot be done by any machine."""


def last_words(text):
    """The line of a program's output that says most about its end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    last = (errors or lines or ["it said nothing"])[-1]
    return last.removeprefix("error: ").removeprefix("ERROR: ")
