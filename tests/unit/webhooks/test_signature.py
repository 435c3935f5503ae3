"""Signatures are those of the Standard Webhooks scheme."""

import base64
from datetime import UTC, datetime

from satcommon.webhooks.signature import new_secret, signed_headers


def test_the_signature_is_that_of_the_schemes_published_example() -> None:
    """The example of the scheme's reference libraries."""
    at = datetime.fromtimestamp(1614265330, UTC)

    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}'
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_is_random_and_of_the_length_that_the_scheme_wants() -> None:
    one, other = new_secret(), new_secret()

    assert one != other
    assert all(24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 64 for secret in (one, other))
