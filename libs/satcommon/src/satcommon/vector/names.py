"""Names, identities and crops that every database, file and terminal can hold."""

from __future__ import annotations

from satcommon.errors import InputError
from satcommon.problems import shown

MAX_NAME, MAX_CROP = 200, 64  # characters, as the columns have them
_JOINERS = "\u200c\u200d"  # not printable by themselves, and part of words in several scripts


def checked_identity(value: str, where: str) -> str:
    """An external id, which must have no spaces around it.

    Args:
        value: the id as the user wrote it.
        where: what the message begins with.

    Raises:
        InputError: it is empty, too long, has spaces around it or characters that can't be printed.
    """
    text = checked_text(value, "external_id", where)
    if text != value:
        raise InputError(f"{where}: external_id {shown(value)} has spaces around it; expected none")
    return text


def checked_text(value: str, what: str, where: str, most: int = MAX_NAME) -> str:
    """A text without the spaces around it.

    Args:
        value: the text as the user wrote it.
        what: the attribute, for the message.
        where: what the message begins with, as the file and the feature.
        most: characters that are allowed.

    Raises:
        InputError: it is empty, too long, or has characters that can't be printed.
    """
    text = value.strip()
    if not text or len(text) > most:
        raise InputError(f"{where}: {what} {shown(value)} has {len(text)} characters; expected 1 to {most}")
    bad = [character for character in text if not character.isprintable() and character not in _JOINERS]
    if bad:
        raise InputError(f"{where}: {what} {shown(value)} holds {bad[0]!r}; expected printable characters")
    return text
