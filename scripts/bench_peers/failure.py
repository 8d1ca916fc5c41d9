"""What can go wrong with a program, in one line."""


class Failure(Exception):
    """Something did not work; the message says what."""


def last_words(text):
    """The line of a program's output that says most about its end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1]
