"""An S3 endpoint that checks signatures and what keys allow, as moto does once its users are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import pytest
from satctl.local.servers import BUCKET, s3_endpoint

URL = f"s3://{BUCKET}/prefix"
_POLICIES = {"owner": ["s3:*"], "reader": ["s3:GetObject", "s3:ListBucket"]}
_WITHOUT_KEYS = "INITIAL_NO_AUTH_ACTION_COUNT"  # moto's: so many requests are not checked


@contextmanager
def guarded_s3(log: Path) -> Iterator[dict[str, dict[str, str]]]:
    """The AWS variables of each user: ``owner``, ``reader``, a ``stranger``, and a ``forger`` with a wrong secret."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:  # for it alone: not for this process's own
            environment.setenv(_WITHOUT_KEYS, "1000")
            url = stack.enter_context(s3_endpoint(log))
        iam = boto3.client(
            "iam", endpoint_url=url, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
        )
        users = {}
        for user, actions in _POLICIES.items():
            policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}}
            iam.create_user(UserName=user)
            iam.put_user_policy(UserName=user, PolicyName="its", PolicyDocument=json.dumps(policy))
            key = iam.create_access_key(UserName=user)["AccessKey"]
            users[user] = variables(url, key["AccessKeyId"], key["SecretAccessKey"])
        users["stranger"] = variables(url, "AKIA" + "Z" * 16, "z" * 40)
        users["forger"] = users["owner"] | {"AWS_SECRET_ACCESS_KEY": "f" * 40}
        urlopen(Request(f"{url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})).close()
        yield users


def variables(endpoint: str, key: str, secret: str) -> dict[str, str]:
    return {
        "SATFIELDS_STORE": URL,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
    }
