"""boto3 clients for the suites that use it, and what several of them ask. Imported by boto3_suite, history_suite and state_suite."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import place, true

here = place()


def client(key=here.key, secret=here.secret, endpoint=here.endpoint, **settings):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(**settings) if settings else None,
    )


def refused(code, call, *arguments, **named):
    """The call fails with this error code (or one of several). Its answer is what comes back."""
    codes = (code,) if isinstance(code, str) else code
    try:
        call(*arguments, **named)
    except ClientError as fault:
        true(fault.response["Error"]["Code"] in codes, f"want {codes}: {fault}")
        return fault.response
    raise AssertionError(f"succeeded, want {codes}")
