"""A store of objects as tests use one: an S3 server of this process, and a client of it."""

from contextlib import contextmanager

import pytest


@contextmanager
def running_store(bucket):
    """Run a server with an empty bucket; the environment names it, for other processes too."""
    pytest.importorskip("s3fs", reason="needs the extra 'remote'")
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    import boto3
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # a client of another test's server
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket=bucket)
        yield client
    server.stop()
