"""No secret in a line: what this process knows as secret is replaced, and so is what looks like a key in an address.

Redaction works on the values before they are rendered: JSON escapes quotes and backslashes, and a password that holds
one would no longer be found in the finished line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from satcommon.errors import SettingError
from satcommon.secret_files import SUFFIX, content

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|ACCESS_KEY|ACCOUNT_KEY|API_?KEY|SAS|AUTHORIZATION", re.I
)
_PATH_NAME = re.compile(r"_(FILE|PATH|DIR|URL|URI|HOST|NAME)$", re.I)  # where a secret lies is none
_SURE = 8  # letters of a secret that is replaced wherever it stands; a shorter one only as a word of its own
_USER_INFO = re.compile(r"(?<=://)([^/\s:@'\"]*):([^\s'\"]+)@(?=[\w\[.-])")  # a password may hold / and @
_QUERY_KEYS = (
    r"sig|signature|token|access_token|id_token|api[_-]?key|apikey|subscription-key|key|password|sslpassword|secret|"
    r"x-amz-signature|x-amz-credential|x-amz-security-token|awsaccesskeyid|x-goog-signature|x-goog-credential"
)
_QUERY = re.compile(rf"(?i)([?&;](?:{_QUERY_KEYS})=)[^&\s'\"<>#)]+")
_HEADER = re.compile(
    r"(?i)((?:proxy-)?authorization|x-api-key|ocp-apim-subscription-key|x-amz-security-token|cookie)"
    r"(['\"]?\s*+[:=]\s*+(?:b?['\"])?)[^\r\n'\"}]+"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_DSN = re.compile(r"(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s'\"&,;)]+)")
_AWS4 = re.compile(r"(?i)\b(credential|signature)=[^\s,&'\"]+")


class Redactor:
    """Hides secrets in text and in what holds text.

    Args:
        secrets: known values; each is hidden as it is and as an address writes it.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret)) if form}
        parts = [
            re.escape(form) if len(form) >= _SURE else rf"(?<!\w){re.escape(form)}(?!\w)"
            for form in sorted(forms, key=lambda form: (-len(form), form))
        ]
        self._known = re.compile("|".join(parts)) if parts else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        if "://" in text:
            text = _USER_INFO.sub(rf"\1:{HIDDEN}@", text)
        if "=" in text:
            text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
            text = _DSN.sub(rf"\g<1>{HIDDEN}", text)
            text = _AWS4.sub(rf"\g<1>={HIDDEN}", text)
        return _BEARER.sub(rf"\g<1> {HIDDEN}", _HEADER.sub(rf"\g<1>\g<2>{HIDDEN}", text))

    def value(self, value: Any) -> Any:
        """The value without secrets; what is neither a number nor a container becomes its text."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._entry(str(key), entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(entry) for entry in value]
        return self.text(str(value))

    def _entry(self, key: str, value: Any) -> Any:
        """A mapping's entry: what its key calls a secret is hidden, whatever it is."""
        named = _SECRET_NAME.search(key) and not _PATH_NAME.search(key) and isinstance(value, (str, bytes))
        return HIDDEN if named else self.value(value)


def secrets_of(environment: Mapping[str, str] = os.environ) -> set[str]:
    """The secrets of an environment: by their variable's name, or as a password within an address.

    A variable may name a file in place of the value; one that can't be read is told by whoever needs it.
    """
    found = set()
    given = dict(environment)
    for variable, path in environment.items():
        name = variable.removesuffix(SUFFIX)
        if name != variable and (_SECRET_NAME.search(name) or name.endswith("_URL")):
            with suppress(SettingError):
                given[name] = content(variable, path)
    for name, value in given.items():
        if _SECRET_NAME.search(name) and not _PATH_NAME.search(name):
            found.add(value)
        if name.upper() == "PGPASSWORD":
            found.add(value)
        for _, password in _USER_INFO.findall(value):
            found |= {password, unquote(password)}
        found |= {given.partition("=")[2] for given in re.findall(r"(?i)(?:ssl)?password=[^&\s]+", value)}
    return {secret for secret in found if secret.strip()}
