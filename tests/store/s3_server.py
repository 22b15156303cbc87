"""A real S3 server with an empty bucket, which runs in this process: moto's, on loopback."""

from __future__ import annotations

import contextlib
import logging
import urllib.request
from collections.abc import Iterator

BUCKET = "bucket"


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Yields the environment variables with which a command finds the server. Raises ImportError without moto."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        urllib.request.urlopen(f"{url}/moto-api/reset", b"").close()  # all servers of a process share buckets
        found = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        client_of(found).create_bucket(Bucket=BUCKET)
        yield found
    finally:
        server.stop()


def client_of(found: dict[str, str]):
    """A client of that server."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=found["AWS_ENDPOINT_URL"],
        aws_access_key_id=found["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
        region_name=found["AWS_DEFAULT_REGION"],
    )
