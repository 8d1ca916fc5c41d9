"""Errors of running a program, as one-line messages."""


class Failure(Exception):
    """Something failed; the message says what."""


class Misuse(Failure):
    """The request is invalid on any machine."""


def last_words(text):
    """The most informative line of the output of a program that failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    last = (errors or lines or ["it said nothing"])[-1]
    return last.removeprefix("error: ").removeprefix("ERROR: ")
